"""Issuers: the stores whose payment tokens are taken, and their Ed25519 keys."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_lib.durable import read_file
from client_lib.errors import ConfigError, StorageError
from licensing.config import IssuerConfig

IssuerKeys = Mapping[str, Mapping[str, Ed25519PublicKey]]
"""Public keys by `iss`, then by `kid`."""


def load_issuers(data: Path, issuers: tuple[IssuerConfig, ...]) -> IssuerKeys:
    """Read every issuer's keys, paths from `data` on. Raises ConfigError naming the file."""
    return {
        issuer.name: {kid: _load_public_key(data / name) for kid, name in issuer.keys.items()}
        for issuer in issuers
    }


def _load_public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(read_file(path))
    except StorageError as error:
        raise ConfigError(f"issuers: {error}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"issuers: {path} is not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"issuers: {path} is not an Ed25519 key")
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a (test) store's signing key. Raises StorageError, never showing the key."""
    try:
        key = serialization.load_pem_private_key(read_file(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StorageError(f"{path} is not an Ed25519 key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageError(f"{path} is not an Ed25519 key in PEM")
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """PKCS#8 PEM, unencrypted: only for files with mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """SubjectPublicKeyInfo PEM, as `issuers` in the configuration names it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key: Ed25519PublicKey) -> str:
    """Make a `kid`: the first 64 bits of the key's SHA-256, in hexadecimal."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]
