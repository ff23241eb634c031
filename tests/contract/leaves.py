"""Licence certificates as far as a ledger looks at them."""

import datetime as dt
from dataclasses import dataclass

from client_lib.wire.licence import LicenceId
from licensing.ledger import Ledger

LIMIT = 100


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A leaf, and the licence and device that it is for."""

    serial_number: int
    licence_id: LicenceId
    device_id: str
    not_valid_after_utc: dt.datetime


async def issue(
    ledger: Ledger, leaf: IssuedCertificate, *, now: dt.datetime, limit: int = LIMIT
) -> None:
    """Have it recorded as `Licences.certificate` does."""
    issued = await ledger.issue_certificate(
        leaf.licence_id, leaf.device_id, lambda _held: leaf, limit=limit, now=now
    )
    assert issued == leaf
