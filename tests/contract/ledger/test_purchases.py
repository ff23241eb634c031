"""Buying from prepaid credit: one debit, one licence, whatever is repeated or raced."""

import datetime as dt

import pytest
import trio

from client_lib.wire.licensing_api import PurchaseAnswer
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import ReleaseId, TorrentName
from licensing.books.ledger import SqlLedger
from licensing.books.purchases import OWNED_ORDERS_PER_DAY
from licensing.refusal import Refusal
from tests.contract.ledger.till import (
    DAY,
    NOW,
    ONE,
    OTHER_FORMAT,
    THREE,
    TWO,
    balance,
    count_events,
    credit_token,
    item_token,
    order,
    refused,
    refused_as,
    release,
)
from tests.patience import PATIENCE_S


@pytest.fixture
async def ledger(ledger: SqlLedger) -> SqlLedger:
    await ledger.redeem(credit_token(amount_minor=1000), now=NOW)
    return ledger


async def test_purchase_debits_and_licenses(ledger: SqlLedger) -> None:
    answer = await ledger.buy(order("k-1", TWO), now=NOW)
    assert (answer.charged_minor, answer.balance_minor, answer.currency) == (400, 600, "EUR")
    assert (answer.already_owned, answer.purchase) == (False, "credit-k-1-device-a")
    assert (answer.licence.name, answer.licence.granted_at) == (TWO, NOW)
    assert await ledger.library("device-a") == (answer.licence,)
    assert await balance(ledger) == 600
    held = await ledger.held_licence(answer.licence.licence_id, "device-a")
    assert held.name == TWO
    assert await ledger.sales() == 1


async def test_same_key_answers_the_same_whatever_happened_since(ledger: SqlLedger) -> None:
    first = await ledger.buy(order("k-1"), now=NOW)
    await ledger.buy(order("k-2", TWO), now=NOW)
    await ledger.redeem(credit_token("topup-2", 77), now=NOW)
    for price in (400, 1, None):
        assert await ledger.buy(order("k-1", price=price), now=NOW + DAY) == first
    assert await balance(ledger) == 277
    assert await ledger.sales() == 2


async def test_same_key_for_another_purchase_is_refused(ledger: SqlLedger) -> None:
    await ledger.buy(order("k-1"), now=NOW)
    for other in (order("k-1", TWO), order("k-1", currency="USD"), order("k-1", OTHER_FORMAT)):
        await refused_as(ledger, other, ProblemType.IDEMPOTENCY_KEY_REUSED)
    await ledger.redeem(credit_token(token="again", device="device-b"), now=NOW)
    # Keys are a device's own.
    assert not (await ledger.buy(order("k-1", TWO, device="device-b"), now=NOW)).already_owned


async def test_too_little_credit_is_refused_with_numbers_and_leaves_the_key_free(
    ledger: SqlLedger,
) -> None:
    dear = order("k-1", price=1001)
    refusal = await refused(ledger, dear)
    assert refusal.problem_type is ProblemType.INSUFFICIENT_CREDIT
    assert (refusal.balance, refusal.price) == (Money(1000, "EUR"), Money(1001, "EUR"))
    assert "10.01 EUR" in refusal.detail
    assert await balance(ledger) == 1000
    await ledger.redeem(credit_token("topup-2", 1), now=NOW)
    assert (await ledger.buy(dear, now=NOW)).balance_minor == 0


async def test_credit_of_others_and_in_other_currencies_is_not_spent(ledger: SqlLedger) -> None:
    other = credit_token("t-2", 9000, subject="customer-2", device="device-b")
    await ledger.redeem(other, now=NOW)
    for what in (order("k", price=1001), order("k", currency="USD"), order("k", device="nobody")):
        await refused_as(ledger, what, ProblemType.INSUFFICIENT_CREDIT)


async def test_device_of_two_customers_spends_what_suffices(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token("t-2", 3000, subject="customer-2"), now=NOW)
    assert (await ledger.buy(order("k-1", price=2000), now=NOW)).balance_minor == 1000
    assert (await ledger.buy(order("k-2", TWO, price=1000), now=NOW)).balance_minor == 0
    total = sum(entry.balance_minor for entry in await ledger.balances("device-a"))
    assert total == 1000


async def test_what_is_not_priced_or_published_is_refused(ledger: SqlLedger) -> None:
    await refused_as(ledger, order("k", price=None), ProblemType.NOT_FOR_SALE)
    await refused_as(ledger, order("k", THREE), ProblemType.UNKNOWN_RELEASE)


async def test_owned_release_is_not_charged_again(ledger: SqlLedger) -> None:
    first = await ledger.buy(order("k-1"), now=NOW)
    again = await ledger.buy(order("k-2"), now=NOW + DAY)
    assert again == PurchaseAnswer(
        licence=first.licence,
        purchase=first.purchase,
        already_owned=True,
        charged_minor=0,
        balance_minor=600,
        currency="EUR",
    )
    assert await ledger.buy(order("k-2"), now=NOW + DAY) == again
    assert (await balance(ledger), await ledger.sales()) == (600, 1)
    # The other format is another release to buy.
    assert not (await ledger.buy(order("k-3", OTHER_FORMAT), now=NOW)).already_owned


async def test_orders_of_what_is_owned_do_not_fill_the_log(ledger: SqlLedger) -> None:
    await ledger.buy(order("k-1"), now=NOW)
    for number in range(OWNED_ORDERS_PER_DAY):
        at = NOW + dt.timedelta(minutes=number)
        assert (await ledger.buy(order(f"owned-{number}"), now=at)).already_owned
    now = NOW + dt.timedelta(minutes=OWNED_ORDERS_PER_DAY - 1)
    events = await count_events(ledger)
    with pytest.raises(Refusal) as caught:
        await ledger.buy(order("one-more"), now=now)
    assert caught.value.problem_type is ProblemType.TOO_MANY_REQUESTS
    assert caught.value.retry_after_s == 86_400 - 60 * (OWNED_ORDERS_PER_DAY - 1)
    assert await count_events(ledger) == events
    assert (await ledger.buy(order("owned-0"), now=now)).already_owned  # as it was answered
    assert not (await ledger.buy(order("k-2", TWO), now=now)).already_owned
    assert (await ledger.buy(order("one-more"), now=NOW + DAY)).already_owned


async def test_customers_other_devices_get_what_is_owned(ledger: SqlLedger) -> None:
    await ledger.redeem(item_token("order-1", TWO, licence=900, device="device-b"), now=NOW)
    first = await ledger.buy(order("k-1"), now=NOW)
    for device, name in (("device-b", ONE), ("device-a", TWO)):
        answer = await ledger.buy(order("k-9", name, device=device), now=NOW)
        assert answer.already_owned
        await ledger.held_licence(answer.licence.licence_id, device)
    assert first.licence in await ledger.library("device-b")
    assert await ledger.sales() == 2


async def test_owned_release_keeps_its_device_limit(ledger: SqlLedger) -> None:
    await ledger.buy(order("k-1"), now=NOW)
    for number in range(3):
        token = credit_token(f"topup-{number + 2}", 10, device=f"device-{number}")
        await ledger.redeem(token, now=NOW)
    for number in range(2):
        await ledger.buy(order("k", device=f"device-{number}"), now=NOW)
    third = order("k", device="device-2")
    await refused_as(ledger, third, ProblemType.DEVICE_LIMIT_REACHED)


async def test_revoked_licence_may_be_bought_again(ledger: SqlLedger) -> None:
    first = await ledger.buy(order("k-1"), now=NOW)
    await ledger.revoke_licence(first.licence.licence_id, reason="", now=NOW)
    second = await ledger.buy(order("k-2"), now=NOW)
    assert not second.already_owned
    assert second.licence.licence_id != first.licence.licence_id
    await ledger.revoke_purchase("shop", second.purchase, reason="", now=NOW)
    assert not (await ledger.buy(order("k-3"), now=NOW)).already_owned


async def test_store_may_mint_a_token_for_what_was_bought_from_credit(ledger: SqlLedger) -> None:
    bought = await ledger.buy(order("k-1"), now=NOW)
    token = item_token(bought.purchase, ONE, licence=77, device="device-z", amount=400)
    assert (await ledger.redeem(token, now=NOW)).licences == (bought.licence,)
    assert (await ledger.sales(), await balance(ledger)) == (1, 1000 - 400)


async def test_racing_purchases_never_overdraw(ledger: SqlLedger) -> None:
    names = [TorrentName(f"album-{number}.ogg") for number in range(20)]
    for name in names:
        await ledger.publish(release(name), now=NOW)
    bought: list[PurchaseAnswer] = []
    refusals: list[ProblemType] = []

    async def race(number: int) -> None:
        try:
            bought.append(await ledger.buy(order(f"k-{number}", names[number], price=300), now=NOW))
        except Refusal as refusal:
            refusals.append(refusal.problem_type)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(len(names)):
                nursery.start_soon(race, number)
    assert sorted(answer.balance_minor for answer in bought) == [100, 400, 700]
    assert refusals == [ProblemType.INSUFFICIENT_CREDIT] * (len(names) - 3)
    assert len(await ledger.library("device-a")) == 3


async def test_racing_repetitions_are_one_purchase(ledger: SqlLedger) -> None:
    answers: list[PurchaseAnswer] = []

    async def race() -> None:
        answers.append(await ledger.buy(order("k-1"), now=NOW))

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(race)
    assert answers == answers[:1] * 16
    assert (await balance(ledger), await ledger.sales()) == (600, 1)


async def test_formats_of_a_release_are_told(ledger: SqlLedger) -> None:
    formats = await ledger.formats(ReleaseId("album-1"))
    assert [entry.name for entry in formats] == [ONE, OTHER_FORMAT]
    for unknown in ("album-9", "album", "album-1.flac-16-44", "%"):
        with pytest.raises(Refusal) as caught:
            await ledger.formats(ReleaseId(unknown))
        assert caught.value.problem_type is ProblemType.UNKNOWN_RELEASE
