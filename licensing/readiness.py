"""Whether requests can be served: asked of the things themselves, not of a flag."""

import datetime as dt

import trio

from client_lib.errors import AlbumswarmError, StorageError
from licensing.authority import Authority
from licensing.issuers import Issuers
from licensing.ledger import Ledger
from licensing.revocation_list import RevocationLists
from licensing.signer import TorrentSigner

CA_MARGIN = dt.timedelta(days=7)
"""Leaves never outlive the CA: one that ends so soon needs a successor now (ADR 0001)."""
_ANSWER_KEPT_FOR = dt.timedelta(seconds=1)
_WITHIN_S = 5.0


class Readiness:
    """Looks at all that a request may need, at most once a second.

    So whoever asks more often cannot make us write to the ledger more often.
    """

    def __init__(
        self,
        ledger: Ledger,
        authority: Authority,
        signer: TorrentSigner,
        revocation_lists: RevocationLists,
        issuers: Issuers,
    ) -> None:
        """Take all that is looked at."""
        self.signer = signer
        self.issuers = issuers
        self._ledger = ledger
        self._authority = authority
        self._revocation_lists = revocation_lists
        self._asking = trio.Lock()
        self._asked_at: dt.datetime | None = None
        self._answer: tuple[str, ...] = ()

    async def obstacles(self, now: dt.datetime) -> tuple[str, ...]:
        """What is in the way, in words without anything secret; nothing: ready."""
        async with self._asking:
            age = None if self._asked_at is None else now - self._asked_at
            if age is None or not dt.timedelta(0) <= age < _ANSWER_KEPT_FOR:
                self._answer = (
                    *self._certificate_obstacles(now),
                    *await self._ledger_obstacles(now),
                )
                self._asked_at = now
        return self._answer

    def _certificate_obstacles(self, now: dt.datetime) -> list[str]:
        found = []
        if now + CA_MARGIN >= self._authority.certificate.not_valid_after_utc:
            end = self._authority.certificate.not_valid_after_utc
            found.append(f"the swarm CA ends at {end.isoformat()}")
        if now >= self.signer.credential.certificate.not_valid_after_utc:
            found.append("the torrent signer's certificate has expired")
        without_keys = [name for name, keys in self.issuers.keys.items() if not keys]
        if without_keys and len(without_keys) == len(self.issuers.keys):
            found.append("the keys of no store are known")
        return found

    async def _ledger_obstacles(self, now: dt.datetime) -> list[str]:
        found = []
        with trio.move_on_after(_WITHIN_S) as waiting:
            try:
                await self._ledger.probe()
            except StorageError:
                found.append("the ledger cannot be written")
            try:
                crl = await self._revocation_lists.current(now)
                if now >= crl.next_update:
                    found.append("the revocation list is out of date")
            except AlbumswarmError:
                found.append("no revocation list can be signed")
        if waiting.cancelled_caught:
            found.append(f"the ledger did not answer within {_WITHIN_S:.0f} s")
        return found
