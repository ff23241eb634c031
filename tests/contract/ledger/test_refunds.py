"""Refunds and chargebacks by a store's tokens, and their end."""

import datetime as dt

import pytest

from client_lib.wire.licensing_api import LicenceState, RevocationAnswer
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType
from client_lib.wire.revocation_token import RevocationKind
from licensing.books.ledger import SqlLedger
from licensing.refusal import Refusal
from tests.contract.leaves import IssuedCertificate, issue
from tests.contract.ledger.till import (
    DAY,
    NOW,
    ONE,
    OTHER_FORMAT,
    TWO,
    balance,
    count_events,
    credit_token,
    item_token,
    licence_number,
    order,
    refused,
    refused_as,
    revocation,
)

REFUND, CHARGEBACK, REINSTATE = RevocationKind


@pytest.fixture
async def ledger(ledger: SqlLedger) -> SqlLedger:
    await ledger.redeem(item_token("order-1", ONE, TWO, licence=1), now=NOW)
    return ledger


async def listed(ledger: SqlLedger) -> list[int]:
    return [entry.serial for entry in await ledger.revoked_certificates(NOW)]


async def states(ledger: SqlLedger) -> list[LicenceState]:
    return [licence.state for licence in await ledger.library("device-a")]


async def test_token_revokes_and_reinstates_licences_and_their_certificates(
    ledger: SqlLedger,
) -> None:
    for serial in (1, 2):
        leaf = IssuedCertificate(serial, licence_number(serial), "device-a", NOW + DAY)
        await issue(ledger, leaf, now=NOW)
    numbers = [await ledger.revocation_sequence()]
    answer = await ledger.apply_revocation(revocation("r-1", "order-1", REFUND), now=NOW)
    assert answer == RevocationAnswer("order-1", LicenceState.REVOKED, licences=2)
    assert (await listed(ledger), await states(ledger)) == ([1, 2], [LicenceState.REVOKED] * 2)
    numbers.append(await ledger.revocation_sequence())
    answer = await ledger.apply_revocation(revocation("r-2", "order-1", REINSTATE), now=NOW)
    assert answer == RevocationAnswer("order-1", LicenceState.ACTIVE, licences=2)
    assert (await listed(ledger), await states(ledger)) == ([], [LicenceState.ACTIVE] * 2)
    numbers.append(await ledger.revocation_sequence())
    assert numbers == sorted(set(numbers)), "the CRL is rebuilt each time"
    await ledger.held_licence(licence_number(1), "device-a")


async def test_licence_that_was_revoked_by_itself_stays_so(ledger: SqlLedger) -> None:
    await ledger.revoke_licence(licence_number(1), reason="leaked", now=NOW)
    await ledger.revoke_purchase("shop", "order-1", reason="", now=NOW)
    assert await ledger.reinstate_purchase("shop", "order-1", reason="", now=NOW) == 2
    assert await states(ledger) == [LicenceState.REVOKED, LicenceState.ACTIVE]
    before = await count_events(ledger)
    for _ in range(2):
        await ledger.reinstate_licence(licence_number(1), reason="", now=NOW)
        await ledger.reinstate_purchase("shop", "order-1", reason="", now=NOW)
    assert await states(ledger) == [LicenceState.ACTIVE] * 2
    assert await count_events(ledger) == before + 1
    with pytest.raises(Refusal):
        await ledger.reinstate_licence(licence_number(99), reason="", now=NOW)
    with pytest.raises(Refusal):
        await ledger.reinstate_purchase("shop", "order-9", reason="", now=NOW)


async def test_each_token_counts_once(ledger: SqlLedger) -> None:
    chargeback = revocation("r-1", "order-1")
    await ledger.apply_revocation(chargeback, now=NOW)
    idle = revocation("r-2", "order-1", REFUND)
    await ledger.apply_revocation(idle, now=NOW)
    await ledger.apply_revocation(revocation("r-3", "order-1", REINSTATE), now=NOW)
    before = await count_events(ledger)
    late = revocation("r-1", "order-1", expired_at=NOW)
    for again in (chargeback, idle, late):
        answer = await ledger.apply_revocation(again, now=NOW + DAY)
        assert answer.state is LicenceState.ACTIVE
    assert await count_events(ledger) == before


async def test_reused_and_expired_tokens_are_refused(ledger: SqlLedger) -> None:
    await ledger.apply_revocation(revocation("r-1", "order-1"), now=NOW)
    other = revocation("r-1", "order-1", REINSTATE, digest="another")
    assert (await refused(ledger, other)).reason == "reused"
    expired = revocation("r-2", "order-1", expired_at=NOW - dt.timedelta(hours=1))
    refusal = await refused(ledger, expired)
    assert refusal.problem_type is ProblemType.REVOCATION_TOKEN_REFUSED
    assert refusal.reason == "expired"


@pytest.mark.parametrize("kind", ["items", "credit"])
async def test_purchase_revoked_before_its_redemption_cannot_be_redeemed(
    ledger: SqlLedger, kind: str
) -> None:
    items = item_token("order-2", TWO, licence=50)
    token = items if kind == "items" else credit_token("order-2")
    for name in ("r-1", "r-2"):
        answer = await ledger.apply_revocation(revocation(name, "order-2"), now=NOW)
        assert answer == RevocationAnswer("order-2", LicenceState.REVOKED, licences=0)
    await refused_as(ledger, token, ProblemType.PURCHASE_REVOKED)
    await ledger.apply_revocation(revocation("r-3", "order-2", REINSTATE), now=NOW)
    assert not (await ledger.redeem(token, now=NOW)).repeated
    await ledger.apply_revocation(revocation("r-4", "order-2"), now=NOW)
    await refused_as(ledger, token, ProblemType.PURCHASE_REVOKED)


async def test_revoked_topup_takes_what_is_left_and_notes_the_shortfall(
    ledger: SqlLedger,
) -> None:
    await ledger.redeem(credit_token(amount_minor=1000), now=NOW)
    third = order("k-1", OTHER_FORMAT, price=700)
    await ledger.buy(third, now=NOW)
    answer = await ledger.apply_revocation(revocation("r-1", "topup-1"), now=NOW)
    assert answer.shortfall == Money(700, "EUR")
    assert (answer.state, answer.licences) == (LicenceState.REVOKED, 0)
    assert await balance(ledger) == 0
    # Fresh money counts in full: it is the store that decides whether to sell again.
    fresh = await ledger.redeem(credit_token("topup-2", 50), now=NOW)
    assert [entry.balance_minor for entry in fresh.balances] == [50]
    # Money that comes back pays the shortfall first, or a stolen card would make credit.
    refund = revocation("r-2", "credit-k-1-device-a", REFUND)
    assert (await ledger.apply_revocation(refund, now=NOW)).shortfall is None
    assert await balance(ledger) == 50
    await ledger.apply_revocation(revocation("r-3", "topup-1", REINSTATE), now=NOW)
    assert await balance(ledger) == 1050


async def test_reinstated_topup_returns_what_was_taken(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(amount_minor=1000), now=NOW)
    await ledger.buy(order("k-1", OTHER_FORMAT, price=700), now=NOW)
    await ledger.revoke_purchase("shop", "topup-1", reason="", now=NOW)
    await ledger.reinstate_purchase("shop", "topup-1", reason="", now=NOW)
    assert await balance(ledger) == 300
    again = await ledger.apply_revocation(revocation("r-1", "topup-1", REINSTATE), now=NOW)
    assert again == RevocationAnswer("topup-1", LicenceState.ACTIVE, licences=0)


async def test_refund_of_a_purchase_from_credit_returns_its_price(ledger: SqlLedger) -> None:
    await ledger.redeem(credit_token(amount_minor=1000), now=NOW)
    what = order("k-1", OTHER_FORMAT, price=700)
    bought = await ledger.buy(what, now=NOW)
    assert await ledger.revoke_purchase("shop", bought.purchase, reason="", now=NOW) == 1
    assert await balance(ledger) == 1000
    assert (await ledger.buy(what, now=NOW)).licence.state is LicenceState.REVOKED
    await ledger.reinstate_purchase("shop", bought.purchase, reason="", now=NOW)
    assert await balance(ledger) == 300
    # The money is spent elsewhere meanwhile: what is missing is noted.
    await ledger.revoke_purchase("shop", bought.purchase, reason="", now=NOW)
    await ledger.redeem(credit_token("topup-2", 200), now=NOW)
    await ledger.revoke_purchase("shop", "order-1", reason="", now=NOW)
    await ledger.buy(order("k-2", TWO, price=1000), now=NOW)
    answer = await ledger.apply_revocation(revocation("r-1", bought.purchase, REINSTATE), now=NOW)
    assert (answer.shortfall, answer.state) == (Money(500, "EUR"), LicenceState.ACTIVE)
    assert await balance(ledger) == 0
