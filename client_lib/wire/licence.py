"""Licences: the right of one purchase to one release, and who may ask about it."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, NewType

import msgspec

from client_lib.errors import IdentifierError

LICENCE_ID_PATTERN = r"^[a-z2-7]{26}(?!\n)$"
LicenceId = NewType("LicenceId", str)
"""128 random bits in lowercase base32 without padding. Peers see it, so it is not a secret
and says nothing about the customer."""
LicenceIdField = Annotated[LicenceId, msgspec.Meta(pattern=LICENCE_ID_PATTERN)]

DEVICE_SECRET_BYTES = 32


def licence_id_from(random_bytes: bytes) -> LicenceId:
    """Encode 16 random bytes as a licence id."""
    if len(random_bytes) != 16:
        raise IdentifierError("a licence id is made of 16 random bytes")
    return LicenceId(base64.b32encode(random_bytes).decode().rstrip("=").lower())


def parse_licence_id(text: str) -> LicenceId:
    """Check a licence id. Raises IdentifierError."""
    if not re.fullmatch(r"[a-z2-7]{26}", text):
        raise IdentifierError("a licence id is 26 characters of a-z and 2-7")
    return LicenceId(text)


@dataclass(frozen=True, slots=True, repr=False)
class DeviceSecret:
    """256 random bits that a device makes itself; licensing keeps only the hash."""

    value: bytes

    def __post_init__(self) -> None:
        """Refuse anything but 32 bytes."""
        if len(self.value) != DEVICE_SECRET_BYTES:
            raise IdentifierError("a device secret is 32 bytes")

    def __repr__(self) -> str:
        """Never print it."""
        return "DeviceSecret(…)"

    @property
    def bearer(self) -> str:
        """Unpadded base64url, as sent in `Authorization: Bearer` (RFC 6750)."""
        return base64.urlsafe_b64encode(self.value).decode().rstrip("=")

    @property
    def device_id(self) -> str:
        """SHA-256 in hexadecimal: what licensing stores and logs may show."""
        return hashlib.sha256(self.value).hexdigest()

    @classmethod
    def from_bearer(cls, text: str) -> "DeviceSecret":
        """Parse the bearer form. Raises IdentifierError, without repeating the text."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
            raise IdentifierError("a device secret is 43 characters of base64url")
        return cls(base64.urlsafe_b64decode(text + "="))
