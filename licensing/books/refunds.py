"""Refunds and chargebacks of whole purchases, by store or operator, and their undoing."""

import datetime as dt

from client_lib.wire.licensing_api import LicenceState, RevocationAnswer
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType
from client_lib.wire.revocation_token import RevocationKind
from licensing.books import credit, events, holdings
from licensing.books.credit import Account, Change
from licensing.books.revocations import count_revocation
from licensing.books.sql import Sql, to_ms
from licensing.ledger import Revocation
from licensing.refusal import Refusal

_BY_TOKEN = "by the store's token"  # noqa: S105 - the reason that the log tells


def revoke_purchase(sql: Sql, store: str, purchase: str, reason: str, now: dt.datetime) -> int:
    """See `Ledger.revoke_purchase`."""
    purchase_id = _known(sql, store, purchase)
    _revoke(sql, purchase_id, RevocationKind.REFUND, reason, now)
    return _licences(sql, purchase_id)


def reinstate_purchase(sql: Sql, store: str, purchase: str, reason: str, now: dt.datetime) -> int:
    """See `Ledger.reinstate_purchase`."""
    purchase_id = _known(sql, store, purchase)
    _reinstate(sql, purchase_id, reason, now)
    return _licences(sql, purchase_id)


def apply(sql: Sql, revocation: Revocation, now: dt.datetime) -> RevocationAnswer:
    """See `Ledger.apply_revocation`."""
    if _is_new(sql, revocation):
        _record(sql, revocation, now)
        purchase_id = holdings.find(sql, revocation.store, revocation.purchase)
        undone = revocation.kind is RevocationKind.REINSTATE
        if purchase_id is None:
            (_release if undone else _withhold)(sql, revocation, now)
        elif undone:
            _reinstate(sql, purchase_id, _BY_TOKEN, now)
        else:
            _revoke(sql, purchase_id, revocation.kind, _BY_TOKEN, now)
    return _standing(sql, revocation.store, revocation.purchase)


def _is_new(sql: Sql, revocation: Revocation) -> bool:
    """Each token counts once: an old one must not revoke again what was reinstated since."""
    seen = sql.rows(
        "SELECT digest FROM revocation_tokens WHERE store = ? AND token_id = ?",
        revocation.store,
        revocation.token_id,
    )
    if seen and seen[0][0] != revocation.digest:
        raise Refusal(
            ProblemType.REVOCATION_TOKEN_REFUSED,
            "another revocation token had this jti; make a new one for each",
            reason="reused",
        )
    if not seen and revocation.expired_at is not None:
        raise Refusal(
            ProblemType.REVOCATION_TOKEN_REFUSED,
            f"the revocation token expired at {revocation.expired_at.isoformat()}",
            reason="expired",
        )
    return not seen


def _record(sql: Sql, revocation: Revocation, now: dt.datetime) -> None:
    sql.rows(
        "INSERT INTO revocation_tokens (store, token_id, digest, purchase, cause, received_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        revocation.store,
        revocation.token_id,
        revocation.digest,
        revocation.purchase,
        revocation.kind.value,
        to_ms(now),
    )
    received = events.RevocationReceived(
        revocation.store,
        revocation.token_id,
        revocation.digest,
        revocation.purchase,
        revocation.kind.value,
    )
    events.append(sql, received, now)


def _withhold(sql: Sql, revocation: Revocation, now: dt.datetime) -> None:
    """Revoke a purchase that nobody redeemed yet: there is nothing but its name."""
    store, purchase = revocation.store, revocation.purchase
    withheld = sql.rows(
        "INSERT INTO withheld (store, purchase, revoked_at) VALUES (?, ?, ?)"
        " ON CONFLICT (store, purchase) DO NOTHING RETURNING purchase",
        store,
        purchase,
        to_ms(now),
    )
    if withheld:
        event = events.PurchaseRevoked(store, purchase, _BY_TOKEN, cause=revocation.kind.value)
        events.append(sql, event, now)


def _release(sql: Sql, revocation: Revocation, now: dt.datetime) -> None:
    """Let a withheld purchase be redeemed after all."""
    store, purchase = revocation.store, revocation.purchase
    released = sql.rows(
        "DELETE FROM withheld WHERE store = ? AND purchase = ? RETURNING purchase", store, purchase
    )
    if released:
        events.append(sql, events.PurchaseReinstated(store, purchase, _BY_TOKEN), now)


def _revoke(
    sql: Sql, purchase_id: int, kind: RevocationKind, reason: str, now: dt.datetime
) -> None:
    # The licences' state follows from the purchase's, so that a refund can be taken back
    # without reviving a licence that was revoked by itself.
    changed = sql.rows(
        "UPDATE purchases SET revoked_at = ? WHERE purchase_id = ? AND revoked_at IS NULL"
        " RETURNING store, purchase",
        to_ms(now),
        purchase_id,
    )
    if not changed:
        return
    store, purchase = changed[0]
    change = _settle(sql, purchase_id, undone=False)
    event = events.PurchaseRevoked(
        store,
        purchase,
        reason,
        cause=kind.value,
        balance_change_minor=change.balance_minor,
        shortfall_change_minor=change.shortfall_minor,
    )
    events.append(sql, event, now)
    _note(sql, purchase_id, kind, now)


def _reinstate(sql: Sql, purchase_id: int, reason: str, now: dt.datetime) -> None:
    changed = sql.rows(
        "UPDATE purchases SET revoked_at = NULL WHERE purchase_id = ? AND revoked_at IS NOT NULL"
        " RETURNING store, purchase",
        purchase_id,
    )
    if not changed:
        return
    store, purchase = changed[0]
    change = _settle(sql, purchase_id, undone=True)
    event = events.PurchaseReinstated(
        store,
        purchase,
        reason,
        balance_change_minor=change.balance_minor,
        shortfall_change_minor=change.shortfall_minor,
    )
    events.append(sql, event, now)
    _note(sql, purchase_id, RevocationKind.REINSTATE, now)


def _settle(sql: Sql, purchase_id: int, *, undone: bool) -> Change:
    """Move the money of a top-up, or of a purchase from credit; others were paid elsewhere."""
    paid = _account(sql, purchase_id)
    if paid is None:
        return Change()
    account, amount_minor, is_topup = paid
    if is_topup is undone:
        return credit.give_back(sql, account, amount_minor)
    return credit.take_back(sql, account, amount_minor)


def _account(sql: Sql, purchase_id: int) -> tuple[Account, int, bool] | None:
    """The account that a purchase topped up (True) or was paid from (False), and the amount."""
    ((store, subject, from_credit),) = sql.rows(
        "SELECT store, subject, from_credit FROM purchases WHERE purchase_id = ?", purchase_id
    )
    if from_credit:
        ((amount_minor, currency),) = sql.rows(
            "SELECT amount_minor, currency FROM licences WHERE purchase_id = ?", purchase_id
        )
        return Account(store, subject, currency), int(amount_minor), False
    topup = credit.topped_up(sql, purchase_id)
    if topup is None:
        return None
    return Account(store, subject, topup.currency), topup.amount_minor, True


def _note(sql: Sql, purchase_id: int, kind: RevocationKind, now: dt.datetime) -> None:
    """Enter what royalty statements count, and make the CRL out of date."""
    sql.rows(
        "INSERT INTO refunds (purchase_id, position, cause, at)"
        " SELECT ?, COUNT(*) + 1, ?, ? FROM refunds WHERE purchase_id = ?",
        purchase_id,
        kind.value,
        to_ms(now),
        purchase_id,
    )
    count_revocation(sql)


def _standing(sql: Sql, store: str, purchase: str) -> RevocationAnswer:
    purchase_id = holdings.find(sql, store, purchase)
    if purchase_id is None:
        withheld = sql.rows(
            "SELECT 1 FROM withheld WHERE store = ? AND purchase = ?", store, purchase
        )
        return RevocationAnswer(purchase, _state(bool(withheld)), licences=0)
    ((revoked_at,),) = sql.rows(
        "SELECT revoked_at FROM purchases WHERE purchase_id = ?", purchase_id
    )
    paid = _account(sql, purchase_id)
    missing = credit.shortfall(sql, paid[0]) if paid else 0
    return RevocationAnswer(
        purchase,
        _state(revoked_at is not None),
        licences=_licences(sql, purchase_id),
        shortfall=Money(missing, paid[0].currency) if paid and missing else None,
    )


def _state(revoked: bool) -> LicenceState:
    return LicenceState.REVOKED if revoked else LicenceState.ACTIVE


def _known(sql: Sql, store: str, purchase: str) -> int:
    purchase_id = holdings.find(sql, store, purchase)
    if purchase_id is None:
        raise Refusal(
            ProblemType.UNKNOWN_LICENCE, f"store {store} has no redeemed purchase {purchase}"
        )
    return purchase_id


def _licences(sql: Sql, purchase_id: int) -> int:
    ((licences,),) = sql.rows("SELECT COUNT(*) FROM licences WHERE purchase_id = ?", purchase_id)
    return int(licences)
