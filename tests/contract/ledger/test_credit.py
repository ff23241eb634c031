"""Prepaid credit: topping up, and whose devices may spend it."""

import dataclasses

import pytest
import trio

from client_lib.wire.licensing_api import Balance
from client_lib.wire.problem import ProblemType
from licensing.books.ledger import SqlLedger
from licensing.ledger import TopUp
from licensing.refusal import Refusal
from tests.contract.ledger.till import (
    DAY,
    NOW,
    ONE,
    balance,
    count_events,
    credit_token,
    item_token,
    order,
    refused,
    refused_as,
)
from tests.patience import PATIENCE_S


async def test_credit_token_tops_up_once_however_often_it_is_redeemed(ledger: SqlLedger) -> None:
    first = await ledger.redeem(credit_token(), now=NOW)
    assert (first.repeated, first.licences) == (False, ())
    assert first.balances == (Balance("shop", "customer-1", "EUR", 1000),)
    assert await ledger.balances("device-a") == first.balances
    late = dataclasses.replace(credit_token(), expired_at=NOW)
    currency_given_up = dataclasses.replace(credit_token(), spendable=False)
    for again in (credit_token(), late, currency_given_up):
        answer = await ledger.redeem(again, now=NOW + DAY)
        assert (answer.repeated, answer.balances) == (True, first.balances)
    stolen = credit_token(device="device-b")
    await refused_as(ledger, stolen, ProblemType.TOKEN_ALREADY_REDEEMED)
    assert await ledger.sales() == 0


async def test_credit_that_buys_nothing_is_refused_and_its_token_stays_unspent(
    ledger: SqlLedger,
) -> None:
    refusal = await refused(ledger, dataclasses.replace(credit_token(), spendable=False))
    assert refusal.problem_type is ProblemType.PAYMENT_TOKEN_REFUSED
    assert refusal.reason == "credit"
    assert not (await ledger.redeem(credit_token(), now=NOW)).repeated


async def test_one_of_many_racing_devices_tops_up(ledger: SqlLedger) -> None:
    refusals: list[ProblemType] = []

    async def race(device: str) -> None:
        try:
            await ledger.redeem(credit_token(device=device), now=NOW)
        except Refusal as refusal:
            refusals.append(refusal.problem_type)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(race, f"device-{number}")
    assert refusals == [ProblemType.TOKEN_ALREADY_REDEEMED] * 15
    balances = [await ledger.balances(f"device-{number}") for number in range(16)]
    assert [entry[0].balance_minor for entry in balances if entry] == [1000]


async def test_reminted_credit_token_adds_a_device_and_no_money(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(), now=NOW)
    answer = await ledger.redeem(credit_token(token="again", device="device-b"), now=NOW)
    assert [entry.balance_minor for entry in answer.balances] == [1000]
    assert await balance(ledger, "device-b") == 1000


@pytest.mark.parametrize("change", ["amount", "currency", "customer", "items"])
async def test_purchase_of_credit_with_other_goods_is_refused(
    ledger: SqlLedger, change: str
) -> None:
    await ledger.redeem(credit_token(), now=NOW)
    other = credit_token(token="again", device="device-b")
    match change:
        case "amount":
            other = dataclasses.replace(other, topup=TopUp(1001, "EUR"))
        case "currency":
            other = dataclasses.replace(other, topup=TopUp(1000, "USD"))
        case "customer":
            other = dataclasses.replace(other, subject="customer-2")
        case _:
            other = item_token("topup-1", ONE, licence=1, device="device-b")
    await refused_as(ledger, other, ProblemType.PURCHASE_MISMATCH)
    items = item_token("order-1", ONE, licence=1)
    await ledger.redeem(items, now=NOW)
    as_credit = credit_token("order-1", token="again", device="device-b")
    await refused_as(ledger, as_credit, ProblemType.PURCHASE_MISMATCH)


async def test_balance_belongs_to_store_customer_and_currency(ledger: SqlLedger) -> None:
    for token in (
        credit_token("t-1", 100),
        credit_token("t-2", 20, device="device-b"),
        credit_token("t-3", 7, currency="JPY"),
        credit_token("t-4", 3000, subject="customer-2", device="device-c"),
        credit_token("t-5", 50_000, store="shop 2", device="device-d"),
    ):
        await ledger.redeem(token, now=NOW)
    mine = (Balance("shop", "customer-1", "EUR", 120), Balance("shop", "customer-1", "JPY", 7))
    assert await ledger.balances("device-a") == mine
    assert await ledger.balances("device-b") == mine
    assert await ledger.balances("device-c") == (Balance("shop", "customer-2", "EUR", 3000),)
    assert await ledger.balances("device-d") == (Balance("shop 2", "customer-1", "EUR", 50_000),)
    assert await ledger.balances("device-e") == ()


async def test_device_of_an_album_token_spends_its_customers_credit(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(), now=NOW)
    await ledger.redeem(item_token("order-1", ONE, licence=1, device="device-b"), now=NOW)
    assert await balance(ledger, "device-b") == 1000


async def test_device_loses_the_credit_with_the_purchase_that_gave_it(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(), now=NOW)
    await ledger.redeem(item_token("order-1", ONE, licence=1, device="device-b"), now=NOW)
    bought = await ledger.buy(order("k", device="device-b", name=ONE), now=NOW)
    assert bought.already_owned
    await ledger.revoke_purchase("shop", "order-1", reason="stolen token", now=NOW)
    assert await ledger.balances("device-b") == ()
    spend = order("k-2", device="device-b")
    await refused_as(ledger, spend, ProblemType.INSUFFICIENT_CREDIT)
    assert await balance(ledger, "device-a") == 1000


async def test_buying_from_credit_does_not_keep_a_device_near_the_money(
    ledger: SqlLedger,
) -> None:
    await ledger.redeem(credit_token("stolen", 400, device="thief"), now=NOW)
    await ledger.buy(order("k", device="thief"), now=NOW)
    await ledger.revoke_purchase("shop", "stolen", reason="chargeback", now=NOW)
    await ledger.redeem(credit_token("honest", 5000), now=NOW)
    assert await ledger.balances("thief") == ()


async def test_device_beyond_the_limit_may_not_spend(ledger: SqlLedger) -> None:
    for number in (1, 2):
        await ledger.redeem(credit_token(token=f"t-{number}", device=f"device-{number}"), now=NOW)
    lowered = credit_token(token="t-3", device="device-1", device_limit=1)
    await ledger.redeem(lowered, now=NOW)
    assert await balance(ledger, "device-1") == 1000
    assert await ledger.balances("device-2") == ()
    third = credit_token(token="t-4", device="device-3", device_limit=2)
    before = await count_events(ledger)
    await refused_as(ledger, third, ProblemType.DEVICE_LIMIT_REACHED)
    assert await count_events(ledger) == before
