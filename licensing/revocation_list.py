"""The CRL that trackers and seeders poll: signed anew on every revocation and when it ages."""

import datetime as dt
from dataclasses import dataclass

import trio

from licensing.authority import Authority
from licensing.ledger import Ledger

REBUILT_EVERY = dt.timedelta(hours=1)
"""A CRL is signed this much longer than promised and replaced after so long, so that every
one handed out is good for the promised time."""


@dataclass(frozen=True, slots=True)
class SignedCrl:
    """A CRL (DER), its entity tag (RFC 9110, section 8.8.3), and what it was made from."""

    der: bytes
    etag: str
    sequence: int
    this_update: dt.datetime
    next_update: dt.datetime


class RevocationLists:
    """Keeps the current CRL. `lifetime`: how long each is good for at least."""

    def __init__(self, ledger: Ledger, authority: Authority, lifetime: dt.timedelta) -> None:
        """Make nothing yet: `current` does."""
        self._ledger = ledger
        self._authority = authority
        self._lifetime = lifetime
        self._current: SignedCrl | None = None
        self._signing = trio.Lock()

    @property
    def newest(self) -> SignedCrl | None:
        """The CRL that was signed last, fresh or not."""
        return self._current

    async def current(self, now: dt.datetime) -> SignedCrl:
        """The CRL as of now.

        The ledger is asked each time: another process (`revoke`) may have written to it.
        """
        sequence = await self._ledger.revocation_sequence()
        if (fresh := self._fresh(sequence, now)) is not None:
            return fresh
        async with self._signing:
            if (fresh := self._fresh(sequence, now)) is None:
                fresh = self._current = await self._sign(now)
            return fresh

    def _fresh(self, sequence: int, now: dt.datetime) -> SignedCrl | None:
        known = self._current
        if known is None or known.sequence < sequence:
            return None
        age = now - known.this_update
        return known if dt.timedelta(0) <= age < min(REBUILT_EVERY, self._lifetime) else None

    async def _sign(self, now: dt.datetime) -> SignedCrl:
        # The sequence before the entries: a revocation in between is listed and signed twice
        # rather than not at all.
        sequence = await self._ledger.revocation_sequence()
        number = await self._ledger.next_crl_number(now=now)
        revoked = await self._ledger.revoked_certificates(now)
        this_update = now.replace(microsecond=0)
        next_update = this_update + self._lifetime + REBUILT_EVERY
        der = self._authority.sign_crl(
            revoked, number=number, now=this_update, next_update=next_update
        )
        return SignedCrl(der, f'"crl-{number}"', sequence, now, next_update)
