"""Configuration of the licensing service: `licensing.toml` in its data folder."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from client_lib.config import load_config
from client_lib.errors import ConfigError
from licensing.limits import LimitsConfig
from licensing.pricing import PriceList

CONFIG_NAME = "licensing.toml"
DEFAULT_DATA = Path("licensing-data")

Clock = Callable[[], dt.datetime]
"""Now: aware, UTC."""


def utc_now() -> dt.datetime:
    """The clock of a running service."""
    return dt.datetime.now(dt.UTC)


_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_Path = Annotated[str, msgspec.Meta(min_length=1)]
_STORE = re.compile(r"(?=.{1,64}$)[a-z0-9-]+(\.[a-z0-9-]+){2,}")


class IssuerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A store whose payment tokens are taken: its `iss`, and where its Ed25519 keys are.

    At least one of `keys`, `jwks_file` and `jwks_url`; a `kid` in several counts as in the first.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    keys: dict[str, _Path] = {}
    """Public key files (PEM) by `kid`; read again when they change."""
    jwks_file: str = ""
    """A JSON Web Key Set; read again when it changes."""
    jwks_url: str = ""
    """`https://…` of a JSON Web Key Set, fetched again as its Cache-Control says."""
    jwks_ca: str = ""
    """PEM file with the CA to trust at `jwks_url`; empty: the system's."""

    def __post_init__(self) -> None:
        """Check what a type cannot say. ValueError becomes a ConfigError naming the file."""
        if not self.keys and not self.jwks_file and not self.jwks_url:
            raise ValueError(f"issuers: {self.name} needs keys, jwks_file or jwks_url")
        if self.jwks_url and not re.fullmatch(r"https://[^/?#@\s]+(/[^#\s]*)?", self.jwks_url):
            raise ValueError(f"issuers: jwks_url {self.jwks_url!r} is not https://host/path")
        if self.jwks_ca and not self.jwks_url:
            raise ValueError("issuers: jwks_ca belongs to a jwks_url")


class LicensingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys of `licensing.toml`. Relative paths start at the data folder."""

    store: str
    """Reverse-DNS name under which torrents are signed (BEP 35)."""
    public_url: str
    """`https://host[:port]` where customers reach licensing."""
    trackers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
    """Base URLs of the trackers, `https://host[:port]`, in any order."""
    web_seeds: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """Base URLs of the seeders' web seeds, `https://host[:port]`, in any order."""
    listen: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=16)] = (
        "localhost:8443",
    )
    """Addresses to listen on, `host:port`; port 0 takes any free one."""
    audience: str = ""
    """`aud` of the payment tokens; empty: `public_url`."""
    leeway_s: Annotated[int, msgspec.Meta(ge=0, le=600)] = 60
    """How far the stores' clocks may be off."""
    tls_certificate: str = ""
    """PEM chain for the HTTPS port; empty: issued by the swarm CA, renewed by itself."""
    tls_key: str = ""
    """PEM key for `tls_certificate`."""
    ledger: _Path = "ledger.sqlite3"
    """The ledger's SQLite file, or `postgresql://user@host/database`."""
    passphrase_file: str = ""
    """File with the passphrase of the keys of CA and signer; empty: they are not encrypted."""
    crl_lifetime_s: Annotated[int, msgspec.Meta(ge=60, le=604_800)] = 12 * 3600
    """For at least so long trackers can work with a CRL when licensing is away."""
    price_per_mb_minor: dict[str, str] = {}
    """Price of 10^6 bytes by currency, in its smallest unit, as exact decimals; none: no credit."""
    metrics_listen: str = ""
    """`host:port` on loopback for Prometheus; empty: no metrics."""
    limits: LimitsConfig = LimitsConfig()
    """How much anybody may ask."""
    issuers: tuple[IssuerConfig, ...] = ()
    """Stores whose payment tokens are taken."""

    def __post_init__(self) -> None:
        """Check what a type cannot say. ValueError becomes a ConfigError naming the file."""
        if not _STORE.fullmatch(self.store):
            raise ValueError(f"store {self.store!r} is not reverse DNS such as com.example.shop")
        check_base_url("public_url", self.public_url)
        for tracker in self.trackers:
            check_base_url("trackers", tracker)
        if len(set(self.trackers)) < len(self.trackers):
            raise ValueError("trackers: one URL appears twice")
        for web_seed in self.web_seeds:
            check_base_url("web_seeds", web_seed)
        if len(set(self.web_seeds)) < len(self.web_seeds):
            raise ValueError("web_seeds: one URL appears twice")
        for address in self.listen:
            parse_address(address)
        if self.metrics_listen and parse_address(self.metrics_listen)[0] not in _LOOPBACK:
            raise ValueError(
                f"metrics_listen: {self.metrics_listen!r} is not on loopback (localhost:port), and "
                "metrics are for no one else"
            )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together")
        if not self.tls_certificate and re.fullmatch(r"[0-9.]+", self.public_host):
            raise ValueError(
                f"public_url: {self.public_url} has an address for a host; a certificate of the "
                "swarm CA needs a name such as localhost"
            )
        PriceList.parse(self.price_per_mb_minor)
        names = [issuer.name for issuer in self.issuers]
        if len(set(names)) < len(names):
            raise ValueError("issuers: one name appears twice; give it several keys instead")

    @property
    def public_host(self) -> str:
        """Host name of `public_url`."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def token_audience(self) -> str:
        """What payment tokens must be meant for."""
        return self.audience or self.public_url

    @property
    def prices(self) -> PriceList:
        """`price_per_mb_minor`."""
        return PriceList.parse(self.price_per_mb_minor)

    def named_files(self) -> tuple[str, ...]:
        """Every file that this configuration names, but the ledger: what a backup must hold."""
        own = (self.tls_certificate, self.tls_key, self.passphrase_file)
        stores = (
            path
            for issuer in self.issuers
            for path in (*issuer.keys.values(), issuer.jwks_file, issuer.jwks_ca)
        )
        return tuple(filter(None, (*own, *stores)))

    @property
    def crl_lifetime(self) -> dt.timedelta:
        """`crl_lifetime_s`."""
        return dt.timedelta(seconds=self.crl_lifetime_s)


def is_postgres(ledger: str) -> bool:
    """Whether `ledger` names a PostgreSQL database, not a file."""
    return ledger.startswith(("postgresql://", "postgres://"))


def check_base_url(key: str, url: str) -> None:
    """Require `https://host[:port]` in lowercase, with nothing behind it. Raises ValueError."""
    found = re.fullmatch(r"https://[a-z0-9.-]+(?::([0-9]{1,5}))?", url)
    if found is None or int(found[1] or 443) > 65_535:
        raise ValueError(f"{key}: {url!r} is not https://host:port")


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. Raises ValueError."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if found is None or int(found[2]) > 65_535:
        raise ValueError(f"listen: {text!r} is not host:port")
    return found[1].strip("[]"), int(found[2])


def load_licensing_config(data: Path, config: Path | None) -> LicensingConfig:
    """Read `config`, or `licensing.toml` in the data folder. Raises ConfigError."""
    path = config or data / CONFIG_NAME
    try:
        missing = config is None and not path.exists()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if missing:
        raise ConfigError(
            f"{data} is no licensing folder (no {CONFIG_NAME} in it): "
            "run `albumswarm-licensing init` first, or name another with --data"
        )
    return load_config(path, LicensingConfig)
