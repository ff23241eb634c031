"""Purchases: releases priced by the megabyte, paid from prepaid credit."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass

from client_lib.wire.licence import licence_id_from
from client_lib.wire.licensing_api import (
    Balance,
    FormatQuote,
    PurchaseAnswer,
    PurchaseRequest,
    ReleaseQuote,
)
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import ReleaseId, torrent_name
from licensing.ledger import Ledger, Order
from licensing.pricing import PriceList
from licensing.refusal import Refusal

_PURCHASE_PREFIX = "credit-"
_KEY = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Purchases:
    """Quotes releases and sells them for credit.

    `random_bytes` is a source of cryptographic randomness, as `secrets.token_bytes`.
    """

    ledger: Ledger
    prices: PriceList
    random_bytes: Callable[[int], bytes]

    async def quote(self, release_id: ReleaseId) -> ReleaseQuote:
        """Every format with its size and price. Refuses unknown-release."""
        formats = tuple(
            FormatQuote(
                name=entry.name,
                format=entry.format,
                size_bytes=entry.size_bytes,
                prices=self.prices.quote(entry.size_bytes),
            )
            for entry in await self.ledger.formats(release_id)
        )
        return ReleaseQuote(release_id, formats)

    async def balances(self, device_id: str) -> tuple[Balance, ...]:
        """Credit that the device may spend."""
        return await self.ledger.balances(device_id)

    async def buy(
        self, request: PurchaseRequest, device_id: str, idempotency_key: str, *, now: dt.datetime
    ) -> PurchaseAnswer:
        """See `Ledger.buy`. Raises Refusal."""
        name = torrent_name(request.release_id, request.format)
        # Outside the transaction: the size of a release never changes.
        sizes = {e.name: e.size_bytes for e in await self.ledger.formats(request.release_id)}
        if name not in sizes:
            raise Refusal(ProblemType.UNKNOWN_RELEASE, f"{name} is not published here")
        order = Order(
            device_id=device_id,
            idempotency_key=idempotency_key,
            name=name,
            currency=request.currency,
            price_minor=self.prices.price(sizes[name], request.currency),
            # Random, so that no purchase of the store's own has the same name.
            purchase=_PURCHASE_PREFIX + licence_id_from(self.random_bytes(16)),
            licence_id=licence_id_from(self.random_bytes(16)),
        )
        return await self.ledger.buy(order, now=now)


def parse_idempotency_key(fields: list[str]) -> str:
    """Read an Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header).

    A structured-field string (RFC 9651) by the draft, `"8e03…"`; bare, as most senders write it,
    it is the same key. Raises Refusal idempotency-key-refused.
    """
    if len(fields) != 1:
        why = "is missing" if not fields else "was sent more than once"
        raise _refused(f"an Idempotency-Key header {why}; make a random one for each purchase")
    key = fields[0].strip(" \t")
    if key.startswith('"'):
        if not re.fullmatch(r'"([^"\\]|\\["\\])*"', key):
            raise _refused("the Idempotency-Key is not a structured-field string (RFC 9651)")
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    if not _KEY.fullmatch(key):
        raise _refused("the Idempotency-Key is not 1 to 64 visible ASCII characters")
    return key


def _refused(why: str) -> Refusal:
    return Refusal(ProblemType.IDEMPOTENCY_KEY_REFUSED, why)
