"""The `Ledger` over any SQL store: a store brings transactions, the books bring the rules."""

import abc
import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import (
    Balance,
    CatalogueEntry,
    LicenceRecord,
    PurchaseAnswer,
    RevocationAnswer,
)
from client_lib.wire.release import ReleaseId, TorrentName
from licensing.books import (
    api_keys,
    catalogue,
    credit,
    licences,
    purchases,
    refunds,
    revocations,
    royalties,
    sales,
)
from licensing.books.sql import Snapshot, Sql, probe
from licensing.ledger import (
    ApiKey,
    HeldLicence,
    IssuedNodeCertificate,
    LeafT,
    Order,
    Published,
    Redeemed,
    Redemption,
    Release,
    Revocation,
    RevokedCertificate,
    SoldAlike,
)

T = TypeVar("T")


class SqlLedger(abc.ABC):
    """Implements `licensing.ledger.Ledger` on two primitives."""

    @abc.abstractmethod
    async def _write(self, operation: Callable[[Sql], T]) -> T:
        """Run `operation` in a serialised read-write transaction; return once it is durable.

        If it raises, nothing of it stays.
        """

    @abc.abstractmethod
    async def _read(self, operation: Callable[[Sql], T]) -> T:
        """Run `operation` on a consistent view of everything that is durable."""

    @abc.abstractmethod
    async def inspect(self, operation: Callable[[Snapshot], T]) -> T:
        """Run `operation`, which may take long, on one consistent view while others write.

        It has a connection of its own, and ends with the caller when that is cancelled.
        """

    async def redeem(self, redemption: Redemption, *, now: dt.datetime) -> Redeemed:
        """See `Ledger.redeem`."""
        return await self._write(partial(sales.redeem, redemption=redemption, now=now))

    async def balances(self, device_id: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        return await self._read(partial(credit.spendable, device_id=device_id))

    async def buy(self, order: Order, *, now: dt.datetime) -> PurchaseAnswer:
        """See `Ledger.buy`."""
        return await self._write(partial(purchases.buy, order=order, now=now))

    async def library(self, device_id: str) -> tuple[LicenceRecord, ...]:
        """See `Ledger.library`."""
        return await self._read(partial(licences.library, device_id=device_id))

    async def held_licence(self, licence_id: LicenceId, device_id: str) -> HeldLicence:
        """See `Ledger.held_licence`."""
        return await self._read(
            partial(licences.held_licence, licence_id=licence_id, device_id=device_id)
        )

    async def issue_certificate(
        self,
        licence_id: LicenceId,
        device_id: str,
        make: Callable[[HeldLicence], LeafT],
        *,
        limit: int,
        now: dt.datetime,
    ) -> LeafT:
        """See `Ledger.issue_certificate`."""
        return await self._write(
            lambda sql: licences.issue_certificate(
                sql, licence_id, device_id, make, limit=limit, now=now
            )
        )

    async def record_node_certificate(
        self, certificate: IssuedNodeCertificate, *, now: dt.datetime
    ) -> None:
        """See `Ledger.record_node_certificate`."""
        await self._write(
            partial(licences.record_node_certificate, certificate=certificate, now=now)
        )

    async def publish(self, release: Release, *, now: dt.datetime) -> Published:
        """See `Ledger.publish`."""
        return await self._write(partial(catalogue.publish, release=release, now=now))

    async def releases(self, since: int, limit: int) -> tuple[CatalogueEntry, ...]:
        """See `Ledger.releases`."""
        return await self._read(partial(catalogue.releases, since=since, limit=limit))

    async def formats(self, release_id: ReleaseId) -> tuple[CatalogueEntry, ...]:
        """See `Ledger.formats`."""
        return await self._read(partial(catalogue.formats, release_id=release_id))

    async def torrent(self, name: TorrentName) -> bytes:
        """See `Ledger.torrent`."""
        return await self._read(partial(catalogue.torrent, name=name))

    async def revoke_purchase(
        self, store: str, purchase: str, *, reason: str, now: dt.datetime
    ) -> int:
        """See `Ledger.revoke_purchase`."""
        return await self._write(
            partial(refunds.revoke_purchase, store=store, purchase=purchase, reason=reason, now=now)
        )

    async def reinstate_purchase(
        self, store: str, purchase: str, *, reason: str, now: dt.datetime
    ) -> int:
        """See `Ledger.reinstate_purchase`."""
        return await self._write(
            partial(
                refunds.reinstate_purchase, store=store, purchase=purchase, reason=reason, now=now
            )
        )

    async def apply_revocation(
        self, revocation: Revocation, *, now: dt.datetime
    ) -> RevocationAnswer:
        """See `Ledger.apply_revocation`."""
        return await self._write(partial(refunds.apply, revocation=revocation, now=now))

    async def revoke_licence(self, licence_id: LicenceId, *, reason: str, now: dt.datetime) -> None:
        """See `Ledger.revoke_licence`."""
        await self._write(
            partial(revocations.revoke_licence, licence_id=licence_id, reason=reason, now=now)
        )

    async def reinstate_licence(
        self, licence_id: LicenceId, *, reason: str, now: dt.datetime
    ) -> None:
        """See `Ledger.reinstate_licence`."""
        await self._write(
            partial(revocations.reinstate_licence, licence_id=licence_id, reason=reason, now=now)
        )

    async def revoke_api_key(self, key_id: str, *, now: dt.datetime) -> int:
        """See `Ledger.revoke_api_key`."""
        return await self._write(partial(revocations.revoke_api_key, key_id=key_id, now=now))

    async def revocation_sequence(self) -> int:
        """See `Ledger.revocation_sequence`."""
        return await self._read(revocations.revocation_sequence)

    async def revoked_certificates(self, now: dt.datetime) -> tuple[RevokedCertificate, ...]:
        """See `Ledger.revoked_certificates`."""
        return await self._read(partial(revocations.revoked_certificates, now=now))

    async def next_crl_number(self, *, now: dt.datetime) -> int:
        """See `Ledger.next_crl_number`."""
        return await self._write(partial(revocations.next_crl_number, now=now))

    async def add_api_key(self, key: ApiKey, *, now: dt.datetime) -> None:
        """See `Ledger.add_api_key`."""
        await self._write(partial(api_keys.add_api_key, key=key, now=now))

    async def api_key(self, key_hash: str) -> ApiKey:
        """See `Ledger.api_key`."""
        return await self._read(partial(api_keys.api_key, key_hash=key_hash))

    async def probe(self) -> None:
        """See `Ledger.probe`."""
        await self._write(probe)

    async def sales(self) -> int:
        """See `Ledger.sales`."""
        return await self._read(sales.count)

    async def sold_between(self, start: dt.datetime, end: dt.datetime) -> tuple[SoldAlike, ...]:
        """See `Ledger.sold_between`."""
        return await self._read(partial(royalties.sold_between, start=start, end=end))
