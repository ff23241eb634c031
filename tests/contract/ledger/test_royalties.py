"""What royalty statements are made from: every sale once, refunds when they happen."""

import datetime as dt

from client_lib.wire.release import TorrentName
from client_lib.wire.rights import RightsHolder
from licensing.books.ledger import SqlLedger
from licensing.ledger import SoldAlike
from tests.contract.ledger.till import (
    NOW,
    ONE,
    OTHER_FORMAT,
    THREE,
    TWO,
    count_events,
    credit_token,
    item_token,
    licence_number,
    order,
    release,
    revocation,
)

NOVEMBER = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
DECEMBER = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
JANUARY = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
TICK = dt.timedelta(milliseconds=1)
ARTIST = (RightsHolder("Ärtist", 10_000),)
SHARED = (RightsHolder("Ärtist", 3_000), RightsHolder("Label", 7_000))


def sold(
    name: TorrentName,
    amount: int,
    count: int,
    refunded: int = 0,
    rights: tuple[RightsHolder, ...] = ARTIST,
) -> SoldAlike:
    return SoldAlike(name, amount, "EUR", rights, count, refunded)


async def test_every_sale_counts_once_whatever_is_repeated(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(), now=NOW)
    for _ in range(2):
        await ledger.redeem(item_token("order-1", ONE, TWO, licence=1), now=NOW)
        await ledger.redeem(item_token("order-1", ONE, TWO, licence=1, device="device-b"), now=NOW)
        await ledger.redeem(item_token("order-2", ONE, licence=3), now=NOW)
        await ledger.buy(order("k-1", OTHER_FORMAT, price=300), now=NOW)
    await ledger.buy(order("k-2", OTHER_FORMAT, price=300), now=NOW)
    assert await ledger.sold_between(NOVEMBER, DECEMBER) == (
        sold(ONE, 999, 2),
        sold(OTHER_FORMAT, 300, 1),
        sold(TWO, 999, 1),
    )


async def test_periods_meet_without_gap_or_overlap(ledger: SqlLedger) -> None:
    for number, at in enumerate((NOVEMBER - TICK, NOVEMBER, DECEMBER - TICK, DECEMBER)):
        await ledger.redeem(item_token(f"order-{number}", ONE, licence=number + 1), now=at)
    assert await ledger.sold_between(NOVEMBER, DECEMBER) == (sold(ONE, 999, 2),)
    assert await ledger.sold_between(DECEMBER, JANUARY) == (sold(ONE, 999, 1),)
    assert await ledger.sold_between(JANUARY, JANUARY) == ()


async def test_refund_counts_when_it_happens_and_a_reinstated_sale_takes_it_back(
    ledger: SqlLedger,
) -> None:
    await ledger.redeem(item_token("order-1", ONE, TWO, licence=1), now=NOVEMBER)
    # A leaked licence is no refund.
    await ledger.revoke_licence(licence_number(1), reason="leaked", now=NOW)
    await ledger.apply_revocation(revocation("r-1", "order-1"), now=DECEMBER)
    assert await ledger.sold_between(NOVEMBER, DECEMBER) == (sold(ONE, 999, 1), sold(TWO, 999, 1))
    refunds = (sold(ONE, 999, 0, 1), sold(TWO, 999, 0, 1))
    assert await ledger.sold_between(DECEMBER, JANUARY) == refunds
    await ledger.reinstate_purchase("shop", "order-1", reason="", now=JANUARY)
    back = (sold(ONE, 999, 0, -1), sold(TWO, 999, 0, -1))
    assert await ledger.sold_between(JANUARY, JANUARY + TICK) == back


async def test_other_rights_count_from_then_on_and_refunds_follow_their_sale(
    ledger: SqlLedger,
) -> None:
    await ledger.redeem(item_token("order-1", ONE, licence=1), now=NOVEMBER)
    published = await ledger.publish(release(ONE, SHARED), now=NOVEMBER)
    assert published.repeated
    await ledger.redeem(item_token("order-2", ONE, licence=2), now=NOVEMBER)
    events = await count_events(ledger)
    for rights in (SHARED, None):
        await ledger.publish(release(ONE, rights), now=NOVEMBER)
    assert await count_events(ledger) == events, "the same rights again change nothing"
    await ledger.publish(release(ONE, ARTIST), now=NOVEMBER)
    await ledger.redeem(item_token("order-3", ONE, licence=3), now=NOVEMBER)
    await ledger.revoke_purchase("shop", "order-2", reason="", now=DECEMBER)
    found = await ledger.sold_between(NOVEMBER, DECEMBER)
    assert sorted(found, key=lambda sale: len(sale.holders)) == [
        sold(ONE, 999, 1),
        sold(ONE, 999, 1),
        sold(ONE, 999, 1, rights=SHARED),
    ]
    refunds = await ledger.sold_between(DECEMBER, JANUARY)
    assert refunds == (sold(ONE, 999, 0, 1, rights=SHARED),)


async def test_rights_given_at_publication_count_from_the_first_sale(ledger: SqlLedger) -> None:
    await ledger.publish(release(THREE, SHARED), now=NOW)
    await ledger.redeem(item_token("order-1", THREE, licence=1), now=NOW)
    assert await ledger.sold_between(NOVEMBER, DECEMBER) == (sold(THREE, 999, 1, rights=SHARED),)


async def test_default_rights_spelled_out_change_nothing(ledger: SqlLedger) -> None:
    events = await count_events(ledger)
    await ledger.publish(release(ONE, ARTIST), now=NOW)
    assert await count_events(ledger) == events
