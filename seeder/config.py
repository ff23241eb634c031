"""The seeder's configuration: a TOML file, each key of which is also a command line option."""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from client_lib.byte_counts import parse_bytes
from client_lib.config import load_config
from client_lib.durable import read_text
from client_lib.errors import UsageError
from client_lib.service.exposition import loopback_address
from client_lib.wire.certificates import load_certificate

_TRACKER_URL = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?/?")


class SeederConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of the file. Paths are relative to the working directory.

    `data`: the node's own folder. `origin`: the published releases, `<data>/origin` by default.
    `licensing_url` and `licensing_ca`: the licensing service, and the certificate to trust it by
    (a PEM file; the system's roots by default). `api_key_file`: the key for it. `trackers`: base
    URLs, `https://host:port`. `port`: for peers, 0 for any free one. `web_seed_port`:
    for the web seed, which there is only where a port is given. `listen_host`: an address instead
    of all. `upload_limit`: bytes/s over all releases, a number or `16MB`; 0 for none.
    `poll_s`: seconds
    between two looks at the catalogue. `policy`: `thrifty`, `balanced` or `fast`; `min_rate`: no
    customer shall gain less while the node has spare capacity. `addresses`: those under which
    customers reach the node, if it is not the one from which it talks to the trackers.
    `cache_memory`: bytes for pieces in memory. `max_connections`: customers at a time. `origin`
    may be `s3://BUCKET/PREFIX`; then `s3_endpoint` is that of a store that is not Amazon's, and
    `cache_disk` what its pieces may take in `<data>/cache`. `metrics_listen`: `localhost:port` for
    Prometheus. `price_per_gb` and `currency`: what 10^9 bytes from the node's line cost.
    """

    data: str | None = None
    origin: str | None = None
    licensing_url: str | None = None
    licensing_ca: str | None = None
    api_key_file: str | None = None
    trackers: tuple[str, ...] = ()
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 6881
    web_seed_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] | None = None
    listen_host: str | None = None
    upload_limit: int | str = 0
    policy: Literal["thrifty", "balanced", "fast"] = "balanced"
    min_rate: int | str = "100kB"
    addresses: tuple[str, ...] = ()
    cache_memory: int | str = "128MiB"
    s3_endpoint: str | None = None
    cache_disk: int | str = "20GiB"
    metrics_listen: str | None = None
    price_per_gb: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 0.0
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "EUR"
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2_000
    poll_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 3.0

    @property
    def data_folder(self) -> Path:
        """The node's own folder. Raises UsageError if none is configured."""
        return Path(_required(self.data, "data"))

    @property
    def origin_bucket(self) -> str | None:
        """URL of the bucket with the releases, None where they are in a folder."""
        return self.origin if self.origin is not None and self.origin.startswith("s3:") else None

    @property
    def origin_folder(self) -> Path:
        """Folder of the releases; for a bucket, where they are made before they go up.

        Raises UsageError if neither it nor `data` is configured.
        """
        if self.origin_bucket is not None:
            return self.data_folder / "publishing"
        if self.origin is not None:
            return Path(self.origin)
        if self.data is None:
            raise UsageError("no origin: give --origin DIR or --data DIR (or a config file)")
        return Path(self.data, "origin")

    @property
    def licensing(self) -> str:
        """URL of licensing. Raises UsageError."""
        url = _required(self.licensing_url, "licensing_url")
        if not url.startswith("https://"):
            raise UsageError(f"--licensing-url {url}: an https:// URL is needed")
        return url.rstrip("/")

    @property
    def licensing_ca_pem(self) -> str | None:
        """What to trust licensing by, None for the system's roots. Raises StorageError."""
        if self.licensing_ca is None:
            return None
        pem = read_text(Path(self.licensing_ca))
        load_certificate(pem)
        return pem

    @property
    def tracker_urls(self) -> tuple[str, ...]:
        """Base URLs without a slash at the end, at least one. Raises UsageError."""
        if not self.trackers:
            raise UsageError("no tracker: give --tracker URL (or `trackers` in a config file)")
        for url in self.trackers:
            # Plain HTTP would work, without any gate.
            if not _TRACKER_URL.fullmatch(url):
                raise UsageError(f"tracker {url}: https://host or https://host:port is needed")
        return tuple(url.rstrip("/") for url in self.trackers)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where metrics are told, if anywhere. Raises UsageError."""
        if self.metrics_listen is None:
            return None
        try:
            return loopback_address("--metrics-listen", self.metrics_listen)
        except ValueError as error:
            raise UsageError(str(error)) from error

    @property
    def upload_limit_bytes_s(self) -> int:
        """Upload limit of the node, 0 for none. Raises UsageError."""
        return parse_bytes("upload_limit", self.upload_limit)

    @property
    def min_rate_bytes_s(self) -> int:
        """What no customer shall fall below. Raises UsageError."""
        return parse_bytes("min_rate", self.min_rate)

    @property
    def cache_memory_bytes(self) -> int:
        """Memory for pieces. Raises UsageError."""
        return parse_bytes("cache_memory", self.cache_memory)

    @property
    def cache_disk_bytes(self) -> int:
        """Disk for pieces of a bucket. Raises UsageError."""
        return parse_bytes("cache_disk", self.cache_disk)


def configure(file: Path | None, **options: object) -> SeederConfig:
    """Read the configuration file, if any; options that are not None win over it.

    Raises ConfigError and UsageError.
    """
    config = load_config(file, SeederConfig) if file is not None else SeederConfig()
    given = {name: value for name, value in options.items() if value is not None}
    merged = {**msgspec.structs.asdict(config), **given}
    try:
        return msgspec.convert(merged, SeederConfig)
    except msgspec.ValidationError as error:
        raise UsageError(named_option(error)) from error


def named_option(error: msgspec.ValidationError, units: tuple[str, ...] = ()) -> str:
    """What is wrong with which option, of a record whose fields are the options, but for units."""
    what, _, field = str(error).partition(" - at `$.")
    name = field.rstrip("`").partition("[")[0]
    for unit in units:
        name = name.removesuffix(unit)
    return f"--{name.replace('_', '-')}: {what}" if name else what


def _required(value: str | None, key: str) -> str:
    if value is None:
        option = "--" + key.replace("_", "-")
        raise UsageError(f"{option} is missing (or `{key}` in a config file)")
    return value
