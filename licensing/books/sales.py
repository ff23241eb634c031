"""Redemptions: a sale is recorded once, whatever is repeated, raced or lost."""

import datetime as dt

from client_lib.wire.problem import ProblemType
from licensing.books import credit, events, holdings
from licensing.books.licences import purchase_licences
from licensing.books.sql import Sql, to_ms
from licensing.ledger import Line, Redeemed, Redemption
from licensing.refusal import Refusal


def redeem(sql: Sql, redemption: Redemption, now: dt.datetime) -> Redeemed:
    """See `Ledger.redeem`."""
    seen = sql.rows(
        "SELECT digest, device_id, purchase_id FROM tokens WHERE store = ? AND token_id = ?",
        redemption.store,
        redemption.token_id,
    )
    if seen:
        digest, device_id, purchase_id = seen[0]
        return _repeat(sql, redemption, digest, device_id, purchase_id)
    if redemption.expired_at is not None:
        raise Refusal(
            ProblemType.PAYMENT_TOKEN_REFUSED,
            f"the payment token expired at {redemption.expired_at.isoformat()}",
            reason="expired",
        )
    if not redemption.spendable:
        raise Refusal(
            ProblemType.PAYMENT_TOKEN_REFUSED,
            "nothing is sold here for prepaid credit in this currency",
            reason="credit",
        )
    known = holdings.find(sql, redemption.store, redemption.purchase)
    if known is not None:
        purchase_id = known
        _attach(sql, redemption, purchase_id, now)
    else:
        purchase_id = _enter(sql, redemption, now)
    sql.rows(
        "INSERT INTO tokens (store, token_id, digest, purchase_id, device_id, redeemed_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        redemption.store,
        redemption.token_id,
        redemption.digest,
        purchase_id,
        redemption.device_id,
        to_ms(now),
    )
    return _answer(sql, redemption, purchase_id, repeated=False)


def _repeat(
    sql: Sql, redemption: Redemption, digest: str, device_id: str, purchase_id: int
) -> Redeemed:
    # Another token under a used id is the store's mistake or a forgery by a leaked key;
    # either way the id is spent.
    if digest != redemption.digest or device_id != redemption.device_id:
        raise Refusal(
            ProblemType.TOKEN_ALREADY_REDEEMED,
            "the payment token was already redeemed by another device; "
            "ask the store for a fresh token for this purchase",
        )
    holdings.require_standing(sql, purchase_id)
    return _answer(sql, redemption, purchase_id, repeated=True)


def _answer(sql: Sql, redemption: Redemption, purchase_id: int, *, repeated: bool) -> Redeemed:
    if redemption.topup is None:
        return Redeemed(purchase_licences(sql, purchase_id), repeated)
    balances = credit.balances_of(sql, redemption.store, redemption.subject)
    return Redeemed((), repeated, balances)


def _enter(sql: Sql, redemption: Redemption, now: dt.datetime) -> int:
    """Record a purchase for the first time; its row number."""
    holdings.require_not_withheld(sql, redemption.store, redemption.purchase)
    if redemption.topup is not None:
        return credit.top_up(sql, redemption, redemption.topup, now)
    return _sell(sql, redemption, now)


def _sell(sql: Sql, redemption: Redemption, now: dt.datetime) -> int:
    sold = tuple(_priced(sql, line) for line in redemption.lines)
    purchase_id = holdings.open_purchase(
        sql,
        redemption.store,
        redemption.purchase,
        redemption.subject,
        device_limit=redemption.device_limit,
        device_id=redemption.device_id,
        now=now,
    )
    for position, line in enumerate(sold):
        holdings.license_line(sql, purchase_id, position, line, now)
    events.append(
        sql,
        events.Sale(
            store=redemption.store,
            purchase=redemption.purchase,
            subject=redemption.subject,
            token_id=redemption.token_id,
            digest=redemption.digest,
            device_limit=redemption.device_limit,
            device_id=redemption.device_id,
            lines=sold,
        ),
        now,
    )
    return purchase_id


def _priced(sql: Sql, line: Line) -> events.SoldLine:
    released = sql.rows("SELECT rights_version FROM releases WHERE name = ?", line.name)
    if not released:
        raise Refusal(
            ProblemType.UNKNOWN_RELEASE, f"{line.name} is not published here; nothing was redeemed"
        )
    return events.SoldLine(
        line.licence_id, line.name, line.amount_minor, line.currency, int(released[0][0])
    )


def _attach(sql: Sql, redemption: Redemption, purchase_id: int, now: dt.datetime) -> None:
    """Another token of a known purchase: another device, or the same one again."""
    holdings.require_standing(sql, purchase_id)
    _require_same_goods(sql, redemption, purchase_id)
    limit = redemption.device_limit
    holdings.attach(sql, purchase_id, redemption.device_id, device_limit=limit, now=now)
    # The newest token tells the limit: a store may raise it for a customer.
    sql.rows("UPDATE purchases SET device_limit = ? WHERE purchase_id = ?", limit, purchase_id)
    events.append(
        sql,
        events.DeviceAttached(
            store=redemption.store,
            purchase=redemption.purchase,
            token_id=redemption.token_id,
            digest=redemption.digest,
            device_limit=redemption.device_limit,
            device_id=redemption.device_id,
        ),
        now,
    )


def _require_same_goods(sql: Sql, redemption: Redemption, purchase_id: int) -> None:
    ((subject,),) = sql.rows("SELECT subject FROM purchases WHERE purchase_id = ?", purchase_id)
    sold = sql.rows(
        "SELECT name, amount_minor, currency FROM licences WHERE purchase_id = ?", purchase_id
    )
    same_lines = set(sold) == {_goods(line) for line in redemption.lines}
    same_credit = credit.topped_up(sql, purchase_id) == redemption.topup
    if subject != redemption.subject or not same_lines or not same_credit:
        raise Refusal(
            ProblemType.PURCHASE_MISMATCH,
            "the payment token names a known purchase, but not the same customer and items",
        )


def _goods(line: Line) -> tuple[str, int, str]:
    return (line.name, line.amount_minor, line.currency)


def count(sql: Sql) -> int:
    """See `Ledger.sales`."""
    # From the log, not from the state: what is recorded twice must show.
    ((sold,),) = sql.rows("SELECT COUNT(*) FROM events WHERE kind IN ('sale', 'debit')")
    return int(sold)
