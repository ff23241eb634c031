"""Issuers: the stores whose tokens are taken, and their Ed25519 keys, rotated while we serve."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import structlog
import trio
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_lib.durable import read_file
from client_lib.errors import AlbumswarmError, StorageError, StoreTokenError
from client_lib.wire.problem import ProblemType
from licensing.refusal import Refusal

T = TypeVar("T")

IssuerKeys = Mapping[str, Mapping[str, Ed25519PublicKey]]
"""Public keys by `iss`, then by `kid`."""

_LOOKED_AT_EVERY_S = 30.0
MOST_WAITING = 64
"""Requests that wait for a store's keys. Anybody can name a key that nobody knows: while a store
does not answer, such requests must not take all connections."""


class KeySource(Protocol):
    """Where keys of a store come from. Keeps the last good ones when that fails."""

    @property
    def keys(self) -> Mapping[str, Ed25519PublicKey]:
        """The last good keys by `kid`; none before the first time."""
        ...

    async def refresh(self, *, wanted: bool) -> None:
        """Get newer keys if it is time, or sooner if some key is `wanted` that is not there.

        Raises AlbumswarmError; then the keys stay as they are.
        """
        ...


class Issuers:
    """All stores with the sources of their keys, the first source first."""

    def __init__(self, sources: Mapping[str, tuple[KeySource, ...]]) -> None:
        """Take what the sources know already."""
        self._sources = sources
        self._refreshing = trio.Lock()
        self.keys: IssuerKeys = {}
        self._collect()

    def _collect(self) -> None:
        known: dict[str, dict[str, Ed25519PublicKey]] = {}
        for name, sources in self._sources.items():
            known[name] = {}
            for source in reversed(sources):
                known[name].update(source.keys)
        self.keys = known

    async def verified(self, verify: Callable[[IssuerKeys], T]) -> T:
        """`verify(keys)`; if it misses a key, once more after looking for new ones.

        Raises what it raises (StoreTokenError), or Refusal not-ready while some store's keys
        were never to be had: then nobody can say that a token is wrong; also while many wait.
        """
        try:
            return verify(self.keys)
        except StoreTokenError as error:
            if error.reason != "key":
                raise
        if self._refreshing.statistics().tasks_waiting >= MOST_WAITING:
            raise Refusal(ProblemType.NOT_READY, "the keys of a store are being fetched")
        async with self._refreshing:
            await self.refresh(wanted=True)
        try:
            return verify(self.keys)
        except StoreTokenError as error:
            if error.reason == "key" and not all(self.keys.values()):
                raise Refusal(
                    ProblemType.NOT_READY, "the keys of a store could not be fetched yet"
                ) from error
            raise

    async def refresh(self, *, wanted: bool = False) -> None:
        """Refresh every source. A failure is logged, and the keys that are known stay."""
        async with trio.open_nursery() as nursery:
            for name, sources in self._sources.items():
                for source in sources:
                    nursery.start_soon(self._refresh_one, name, source, wanted)
        self._collect()

    async def _refresh_one(self, name: str, source: KeySource, wanted: bool) -> None:
        before = set(source.keys)
        try:
            await source.refresh(wanted=wanted)
        except AlbumswarmError as error:
            structlog.get_logger().error("store keys not refreshed", store=name, error=str(error))
        else:
            if before and set(source.keys) != before:
                structlog.get_logger().info("store keys changed", store=name, kids=[*source.keys])

    async def keep_fresh(self) -> None:
        """Refresh for ever."""
        while True:
            await self.refresh()
            await trio.sleep(_LOOKED_AT_EVERY_S)


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
