"""The v2 info-hash, in its three forms: full, truncated, multihash."""

import hashlib
from dataclasses import dataclass
from typing import NewType

from client_lib.errors import IdentifierError

TruncatedInfoHash = NewType("TruncatedInfoHash", bytes)
"""20 bytes: the info-hash as trackers and peers carry it (BEP 52, "infohash")."""

_BTMH_PREFIX = "1220"  # multihash: sha2-256, 32 bytes (BEP 52, magnet `btmh`)


@dataclass(frozen=True, slots=True)
class InfoHash:
    """SHA-256 of the bencoded info dictionary (BEP 52). 32 bytes; raises IdentifierError."""

    sha256: bytes

    def __post_init__(self) -> None:
        """Refuse anything but 32 bytes."""
        if not isinstance(self.sha256, bytes) or len(self.sha256) != 32:
            raise IdentifierError("an info-hash is 32 bytes")

    @classmethod
    def of(cls, info: bytes) -> "InfoHash":
        """Hash a bencoded info dictionary."""
        return cls(hashlib.sha256(info).digest())

    @classmethod
    def from_hex(cls, text: str) -> "InfoHash":
        """Parse 64 lowercase hexadecimal digits."""
        if len(text) != 64 or text.strip("0123456789abcdef"):
            raise IdentifierError("an info-hash is 64 lowercase hexadecimal digits")
        return cls(bytes.fromhex(text))

    @classmethod
    def from_btmh(cls, text: str) -> "InfoHash":
        """Parse the multihash form, `1220` and 64 digits."""
        if not text.startswith(_BTMH_PREFIX):
            raise IdentifierError("a btmh multihash starts with 1220 (SHA-256)")
        return cls.from_hex(text.removeprefix(_BTMH_PREFIX))

    @property
    def truncated(self) -> TruncatedInfoHash:
        """The first 20 bytes, as announces and handshakes carry it."""
        return TruncatedInfoHash(self.sha256[:20])

    @property
    def hex(self) -> str:
        """64 lowercase hexadecimal digits."""
        return self.sha256.hex()

    @property
    def btmh(self) -> str:
        """Multihash in hexadecimal, as in `urn:btmh:`."""
        return _BTMH_PREFIX + self.hex
