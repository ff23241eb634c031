"""Royalties: what a period's sales mean for the rights holders, to the last minor unit."""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from client_lib.errors import UsageError
from client_lib.wire.rights import WHOLE_BP, RightsHolder
from licensing.ledger import SoldAlike

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar month in UTC: from `start` until before `end`."""

    name: str
    start: dt.datetime
    end: dt.datetime

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Read `2026-11`. Raises UsageError."""
        found = _MONTH.fullmatch(text)
        if found is None or not 1970 <= int(found[1]) <= 9998:
            raise UsageError(f"--period {text!r} is not a month such as 2026-11")
        year, month = int(found[1]), int(found[2])
        start = dt.datetime(year, month, 1, tzinfo=dt.UTC)
        end = dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
        return cls(text, start, end)


class StatementLine(msgspec.Struct, frozen=True):
    """A rights holder's period in one currency.

    `gross_minor` and `refunded_minor` are whole prices of the `sales` and `refunds` that they
    have a share in, `net_minor` the difference, `share_minor` their part of it. A sale that was
    reinstated counts as a refund less, so refunds and shares may be negative.
    """

    holder: str
    currency: str
    sales: int
    refunds: int
    gross_minor: int
    refunded_minor: int
    net_minor: int
    share_minor: int


@dataclass(slots=True)
class _Sums:
    sales: int = field(default=0)
    refunds: int = field(default=0)
    gross_minor: int = field(default=0)
    refunded_minor: int = field(default=0)
    share_minor: int = field(default=0)


def split(amount_minor: int, holders: tuple[RightsHolder, ...]) -> tuple[int, ...]:
    """Parts of one sale, in the holders' order; they sum to it exactly.

    Largest remainder; between equal ones, whoever is named first.
    """
    exact = [divmod(amount_minor * holder.share_bp, WHOLE_BP) for holder in holders]
    parts = [whole for whole, _ in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: (-exact[place][1], place))
    for place in by_remainder[: amount_minor - sum(parts)]:
        parts[place] += 1
    return tuple(parts)


def statement(sold: Iterable[SoldAlike]) -> tuple[StatementLine, ...]:
    """A line per rights holder and currency, by name."""
    sums: dict[tuple[str, str], _Sums] = {}
    for sale in sold:
        for holder, part in zip(sale.holders, split(sale.amount_minor, sale.holders), strict=True):
            entry = sums.setdefault((holder.name, sale.currency), _Sums())
            entry.sales += sale.sold
            entry.refunds += sale.refunded
            entry.gross_minor += sale.sold * sale.amount_minor
            entry.refunded_minor += sale.refunded * sale.amount_minor
            entry.share_minor += (sale.sold - sale.refunded) * part
    return tuple(
        StatementLine(
            holder=holder,
            currency=currency,
            sales=entry.sales,
            refunds=entry.refunds,
            gross_minor=entry.gross_minor,
            refunded_minor=entry.refunded_minor,
            net_minor=entry.gross_minor - entry.refunded_minor,
            share_minor=entry.share_minor,
        )
        for (holder, currency), entry in sorted(sums.items())
    )
