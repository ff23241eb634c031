import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import UsageError
from client_lib.wire.release import TorrentName
from client_lib.wire.rights import RightsHolder, require_whole
from licensing.ledger import SoldAlike
from licensing.royalties import Period, StatementLine, split, statement

NAME = TorrentName("album-1.flac")


def holders(*shares: int) -> tuple[RightsHolder, ...]:
    return tuple(RightsHolder(f"holder {place}", share) for place, share in enumerate(shares))


@st.composite
def whole_rights(draw: st.DrawFn) -> tuple[RightsHolder, ...]:
    cuts = sorted(draw(st.sets(st.integers(1, 9_999), max_size=8)))
    rights = holders(*(end - start for start, end in zip([0, *cuts], [*cuts, 10_000], strict=True)))
    require_whole(rights)
    return rights


_sales = st.builds(
    SoldAlike,
    st.just(NAME),
    st.integers(0, 10**7),
    st.sampled_from(("EUR", "USD")),
    whole_rights(),
    st.integers(0, 1000),
    st.integers(-1000, 1000),
)


@pytest.mark.parametrize(
    ("amount", "shares", "parts"),
    [
        (999, (10_000,), (999,)),
        (1, (5_000, 5_000), (1, 0)),
        (100, (3_333, 3_333, 3_334), (33, 33, 34)),
        (2, (3_000, 3_000, 4_000), (1, 0, 1)),
        (1199, (7_000, 3_000), (839, 360)),
        (0, (1, 9_999), (0, 0)),
    ],
)
def test_sale_is_split_by_largest_remainder(
    amount: int, shares: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    assert split(amount, holders(*shares)) == parts


@given(amount=st.integers(0, 10**12), rights=whole_rights())
def test_parts_sum_to_the_sale_and_are_fair_to_the_minor_unit(
    amount: int, rights: tuple[RightsHolder, ...]
) -> None:
    parts = split(amount, rights)
    assert sum(parts) == amount
    for part, holder in zip(parts, rights, strict=True):
        assert abs(part * 10_000 - amount * holder.share_bp) < 10_000


@given(sold=st.lists(_sales, max_size=10))
def test_shares_of_all_holders_sum_to_all_sales_less_refunds(sold: list[SoldAlike]) -> None:
    lines = statement(sold)
    assert len({(line.holder, line.currency) for line in lines}) == len(lines)
    for currency in ("EUR", "USD"):
        earned = sum(
            (sale.sold - sale.refunded) * sale.amount_minor
            for sale in sold
            if sale.currency == currency
        )
        assert earned == sum(line.share_minor for line in lines if line.currency == currency)


def test_statement_tells_sales_and_shares_by_holder_and_currency() -> None:
    label = (RightsHolder("Artist", 3_000), RightsHolder("Label", 7_000))
    lines = statement(
        [
            SoldAlike(NAME, 999, "EUR", label, 3, 1),
            SoldAlike(NAME, 500, "EUR", (RightsHolder("Artist", 10_000),), 1, 0),
            SoldAlike(NAME, 100, "USD", label, 0, 1),
        ]
    )
    assert lines == (
        StatementLine("Artist", "EUR", 4, 1, 3497, 999, 2498, 2 * 300 + 500),
        StatementLine("Artist", "USD", 0, 1, 0, 100, -100, -30),
        StatementLine("Label", "EUR", 3, 1, 2997, 999, 1998, 2 * 699),
        StatementLine("Label", "USD", 0, 1, 0, 100, -100, -70),
    )


def test_period_is_a_month_in_utc() -> None:
    period = Period.parse("2026-12")
    assert period.start == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert period.end == dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    for text in ("2026", "2026-13", "2026-00", "26-11", "2026-11-01", " 2026-11", "9999-12", ""):
        with pytest.raises(UsageError, match="period"):
            Period.parse(text)
