"""The tracker's configuration: TOML, every key with a safe default."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated

import msgspec

from client_lib.errors import ConfigError
from client_lib.service.exposition import loopback_address

DEFAULT_PORT = 8_444
MAX_WORKERS = 64
HIGHEST_PORT = 65_535
_UNIX = "unix:"
_HOST_AND_PORT = re.compile(r"\[?([A-Za-z0-9.:-]+?)\]?:([0-9]{1,5})")
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86_400)]
_Often = Annotated[float, msgspec.Meta(gt=0, le=3_600)]


class TrackerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`--config FILE.toml`. Flags of the command line override it; relative paths are as given."""

    data: Path = Path("tracker-data")
    """Folder for the host credential, the swarm CA, the revocation list, the swarms' snapshot and
    the accounts (made, mode 0700). Each of several workers has `worker-N` in it."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=MAX_WORKERS)] = 1
    """Processes, one a core. Worker N listens on every port below plus N, and is a tracker of its
    own: list each one's URL in licensing's `trackers`."""

    licensing_url: str = "https://localhost:8443"
    """The licensing service."""
    licensing_ca: Path | None = None
    """PEM file of the CA behind the licensing service's own certificate. None: the system's."""
    api_key_file: Path | None = None
    """File (mode 0600) with the API key that `albumswarm-licensing api-key tracker` printed.
    Without it the tracker runs only as long as the credential in `data` is valid."""
    swarm_ca: Path | None = None
    """PEM file of the swarm CA. None: fetched from licensing once, then kept in `data`."""

    host: str = ""
    """Name or address to listen on; empty for every interface, IPv4 and IPv6."""
    port: Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_PORT)] = DEFAULT_PORT
    """Port to listen on; 0 for any free one, which the `serving` line tells."""
    plain_listen: tuple[str, ...] = ()
    """Plain HTTP for nginx or HAProxy, which end the TLS and pass the certificate on as
    `Client-Cert` (RFC 9440): `host:port`, or `unix:/path` of a socket."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    """Networks that may connect to a plain port; any process that may open a plain socket's file
    is trusted."""
    metrics_listen: str = ""
    """`host:port` on loopback for Prometheus; empty: no metrics."""

    interval_s: _Seconds = 1_800
    """Announce interval of a settled swarm."""
    interval_jitter: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.1
    """Share by which intervals vary at random, either way."""
    young_interval_s: _Seconds = 30
    """Announce interval while a swarm is young, or has leechers and few peers."""
    young_age_s: _Seconds = 600
    """A swarm is young for so long after its first leecher."""
    few_peers: Annotated[int, msgspec.Meta(ge=0)] = 8
    """So many peers are few."""
    min_interval_s: _Seconds = 300
    """`min interval`: what impatient users may not go below. Never above the interval itself."""

    default_numwant: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    """Peers for a client that does not say how many it wants."""
    max_numwant: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200
    """Peers that a client gets at most."""
    copies_wanted: Annotated[int, msgspec.Meta(ge=0)] = 3
    """While fewer customers than this are complete, every leecher is told of central seeders."""

    crl_poll_s: _Often = 5.0
    """How often licensing is asked for a new revocation list (a conditional GET)."""
    crl_grace_s: Annotated[int, msgspec.Meta(ge=0)] = 12 * 3_600
    """While licensing is away, the last list is relied on for so long beyond its nextUpdate."""

    snapshot_s: _Often = 5.0
    """How often swarms that changed are written to disk: a killed tracker forgets no more."""
    accounting_flush_s: _Often = 5.0
    """How often accounts are written to disk: a killed tracker loses no more of them."""
    line_rate: Annotated[int, msgspec.Meta(ge=1)] = 1_250_000_000
    """Bytes/s of the fastest line that a customer may have. Who claims to have moved more is
    flagged in `status`, and it is not counted."""
    price_per_gb: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What 10^9 bytes from your own lines cost, for `status` to say what the swarms saved."""
    currency: str = "EUR"
    """Currency of `price_per_gb`, as it is to be shown."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4_096
    """Open connections; beyond, the one that has waited longest for its client is closed."""
    handshake_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """For a TLS handshake."""
    head_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """For a request, from its first byte."""
    idle_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """Between two requests of a connection."""

    def __post_init__(self) -> None:
        """Check what a type cannot say. ValueError becomes a ConfigError naming the file."""
        for address in self.plain_listen:
            if not address.startswith(_UNIX):
                parse_address("plain_listen", address)
        if self.metrics_listen:
            loopback_address("metrics_listen", self.metrics_listen)
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from error


def parse_address(key: str, text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`. Raises ValueError naming the `key`."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or int(match[2]) > HIGHEST_PORT:
        raise ValueError(f"{key}: {text!r} is not host:port")
    return match[1], int(match[2])


def worker_configs(config: TrackerConfig) -> tuple[TrackerConfig, ...]:
    """Configuration of each worker: a folder and ports of its own. Raises ConfigError.

    Port 0 stays 0, any free one, for all of them.
    """
    return tuple(_worker_config(config, number) for number in range(config.workers))


def _worker_config(config: TrackerConfig, number: int) -> TrackerConfig:
    metrics = config.metrics_listen
    return msgspec.structs.replace(
        config,
        workers=1,
        data=config.data / f"worker-{number}",
        port=_moved("port", config.port, number),
        plain_listen=tuple(_moved_address("plain_listen", a, number) for a in config.plain_listen),
        metrics_listen=_moved_address("metrics_listen", metrics, number) if metrics else "",
    )


def _moved_address(key: str, address: str, number: int) -> str:
    if address.startswith(_UNIX):
        path = Path(address.removeprefix(_UNIX))
        return f"{_UNIX}{path.with_stem(f'{path.stem}-{number}')}"
    host, port = parse_address(key, address)
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{_moved(key, port, number)}"


def _moved(key: str, port: int, number: int) -> int:
    if port and port + number > HIGHEST_PORT:
        raise ConfigError(f"{key}: worker {number} would listen on port {port + number}")
    return port + number if port else 0
