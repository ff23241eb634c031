"""The data folder: where licensing keeps its keys, ledger and configuration, and its founding."""

import datetime as dt
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.durable import private_folder, write_atomically, write_secret
from client_lib.errors import CertificateError, StorageError, UsageError
from client_lib.passphrase import Passphrase
from client_lib.wire import certificates
from licensing.authority import Authority, SerialNumbers, load_authority
from licensing.config import CONFIG_NAME, LicensingConfig
from licensing.issuers import key_id, load_private_key, private_pem, public_pem
from licensing.signer import TorrentSigner
from licensing.stores import open_ledger


@dataclass(frozen=True, slots=True)
class DataFolder:
    """File names in the data folder `root`. All private; keys and ledger have mode 0600."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration; written last, so it says that the folder is complete."""
        return self.root / CONFIG_NAME

    @property
    def ca(self) -> Path:
        """The swarm CA's certificate, PEM."""
        return self.root / "swarm-ca.pem"

    @property
    def ca_key(self) -> Path:
        """The swarm CA's key, PEM. Whoever has it can make licences."""
        return self.root / "swarm-ca.key.pem"

    @property
    def signer(self) -> Path:
        """Key and certificate of the torrent signer, PEM."""
        return self.root / "signer.pem"

    @property
    def https(self) -> Path:
        """Key and certificate that licensing issued itself for its HTTPS port, PEM."""
        return self.root / "https.pem"

    @property
    def test_store_key(self) -> Path:
        """Ed25519 key of the test store, PEM, if there is one."""
        return self.root / "test-store.key.pem"

    @property
    def test_store_public_key(self) -> Path:
        """Its public half, as a store would hand it over."""
        return self.root / "test-store.pub.pem"

    def authority(self, serials: SerialNumbers, passphrase: Passphrase | None = None) -> Authority:
        """Load the swarm CA. Raises StorageError."""
        return load_authority(self.ca, self.ca_key, serials=serials, passphrase=passphrase)


async def found(
    folder: DataFolder,
    settings: Mapping[str, object],
    *,
    test_store: str | None,
    serials: SerialNumbers,
    now: dt.datetime,
    rng: random.Random,
    passphrase: Passphrase | None = None,
) -> LicensingConfig:
    """Make CA, signer, ledger and configuration; `settings` are keys of LicensingConfig.

    `passphrase` encrypts the keys of CA and signer.
    Refuses a folder that has a configuration. A founding that was interrupted can be repeated:
    keys that are there already are kept. Raises UsageError and StorageError.
    """
    try:
        if folder.config.exists():
            raise UsageError(f"{folder.config} exists: {folder.root} is initialised already")
        config = msgspec.convert(dict(settings), LicensingConfig)
        _refuse_strangers(folder)
        private_folder(folder.root)
        authority = _found_authority(folder, config.store, passphrase, serials=serials, now=now)
        issuers = [_found_test_store(folder, test_store)] if test_store else []
    except msgspec.ValidationError as error:
        raise UsageError(str(error).partition(" - at `$")[0]) from error
    except OSError as error:
        raise StorageError(f"cannot use folder {folder.root}: {error.strerror}") from error
    signer = TorrentSigner(
        folder.signer,
        config.store,
        authority,
        clock=lambda: now,
        rng=rng,
        passphrase=passphrase,
    )
    await signer.refresh()
    async with open_ledger(folder, config, create=True) as ledger:
        if await ledger.sales() or await ledger.releases(0, 1):
            raise UsageError(
                "the ledger holds releases or sales already, and they belong to another swarm CA: "
                "take that one's folder, or an empty ledger"
            )
    write_atomically(folder.config, render_config(config, issuers).encode(), mode=0o600)
    return config


def _refuse_strangers(folder: DataFolder) -> None:
    """A folder with other things in it is most likely the wrong one."""
    ours = {folder.ca, folder.ca_key, folder.signer, folder.test_store_key}
    ours |= {folder.test_store_public_key}
    for entry in folder.root.iterdir() if folder.root.exists() else ():
        if entry not in ours and not entry.name.startswith(("ledger.sqlite3", ".")):
            raise UsageError(
                f"{folder.root} is neither empty nor a licensing folder: it holds {entry.name}"
            )


def _found_authority(
    folder: DataFolder,
    store: str,
    passphrase: Passphrase | None,
    *,
    serials: SerialNumbers,
    now: dt.datetime,
) -> Authority:
    secret = passphrase.secret if passphrase else None
    if not folder.ca_key.exists():
        key_pem = certificates.key_pem(certificates.new_key(), secret)
        write_secret(folder.ca_key, key_pem.encode())
    if not folder.ca.exists():
        try:
            key = certificates.load_key(folder.ca_key.read_text(), secret)
        except CertificateError as error:
            raise StorageError(f"{folder.ca_key}: {error}") from error
        ca = certificates.new_ca(f"{store} swarm CA"[:64], key, serial=serials(), now=now)
        write_atomically(folder.ca, certificates.certificate_pem(ca).encode())
    return folder.authority(serials, passphrase)


def _found_test_store(folder: DataFolder, name: str) -> tuple[str, str, str]:
    """Make the test store's key pair; its name, `kid` and public key file."""
    if not folder.test_store_key.exists():
        write_secret(folder.test_store_key, private_pem(Ed25519PrivateKey.generate()))
    public_key = load_private_key(folder.test_store_key).public_key()
    write_atomically(folder.test_store_public_key, public_pem(public_key))
    return name, key_id(public_key), folder.test_store_public_key.name


def render_config(config: LicensingConfig, issuers: list[tuple[str, str, str]]) -> str:
    """Write a first `licensing.toml` with every key explained. JSON strings are TOML strings."""
    text = f"""\
# Configuration of albumswarm-licensing. Relative paths start at this folder.
# A key that is not known is an error.

# Reverse-DNS name of the store: torrents are signed under it.
store = {_toml(config.store)}

# Where customers reach this service.
public_url = {_toml(config.public_url)}

# Addresses to listen on. Port 0 takes any free port.
listen = {_toml(config.listen)}

# Base URLs of all trackers. A swarm lives on one of them and moves on when that one dies.
trackers = {_toml(config.trackers)}

# Base URLs of the seeders' web seeds, for customers whose network blocks BitTorrent.
web_seeds = {_toml(config.web_seeds)}

# Who payment tokens must be meant for (`aud`). Empty: public_url.
audience = {_toml(config.audience)}

# How far the clocks of the stores may be off, in seconds.
leeway_s = {config.leeway_s}

# Certificate chain and key (PEM) for HTTPS. Both empty: the swarm CA issues one, renewed
# without interruption. With files: they are read again when they change.
tls_certificate = {_toml(config.tls_certificate)}
tls_key = {_toml(config.tls_key)}

# The ledger: an SQLite file, or a database such as postgresql://user@host:5432/albumswarm
# (keep its password in ~/.pgpass).
ledger = {_toml(config.ledger)}

# File with the passphrase that encrypts the keys of CA and torrent signer. Empty: they are not
# encrypted, unless the environment has an ALBUMSWARM_LICENSING_PASSPHRASE.
passphrase_file = {_toml(config.passphrase_file)}

# For at least so many seconds trackers can work with a revocation list while this service
# is away.
crl_lifetime_s = {config.crl_lifetime_s}

# Prometheus metrics at http://localhost:9443/metrics, say; loopback only. Empty: none.
metrics_listen = {_toml(config.metrics_listen)}

# How much anybody may ask; these are the defaults. More keys: docs/how-to/run-licensing.md
# [limits]
# address_per_s = 50.0
# device_per_s = 10.0
# failures_per_s = 0.2
# certificates_per_day = 24
"""
    text += """
# Prepaid credit: what a megabyte (10^6 bytes) costs in a currency's smallest unit, as an exact
# decimal; "2.5" is 2.5 cents. Without prices only albums are sold.
"""
    text += "" if config.price_per_mb_minor else "# "
    text += "[price_per_mb_minor]\n"
    for currency, price in (config.price_per_mb_minor or {"# EUR": "2.5"}).items():
        text += f"{currency} = {_toml(price)}\n"
    if not issuers:
        text += """
# Stores whose payment tokens are taken: `iss`, and Ed25519 public keys (PEM) by `kid`, or a
# JSON Web Key Set.
# [[issuers]]
# name = "shop.example.com"
# keys = { "2026-11" = "shop.pub.pem" }
# [[issuers]]
# name = "other.example.com"
# jwks_url = "https://other.example.com/.well-known/jwks.json"
"""
    for name, kid, path in issuers:
        text += f"""
# The test store: `albumswarm-licensing mint-token` signs with its key. Remove this section
# before real money is involved, and add one for each real store.
[[issuers]]
name = {_toml(name)}
keys = {{ {_toml(kid)} = {_toml(path)} }}
"""
    return text


def _toml(value: str | tuple[str, ...]) -> str:
    return json.dumps(value, ensure_ascii=False)


def random_serial() -> int:
    """159 random bits for a certificate."""
    return x509.random_serial_number()
