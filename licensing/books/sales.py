"""Redemptions: a sale is recorded once, whatever is repeated, raced or lost."""

import datetime as dt

from client_lib.wire.problem import ProblemType
from licensing.books import events
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
    known = sql.rows(
        "SELECT purchase_id FROM purchases WHERE store = ? AND purchase = ?",
        redemption.store,
        redemption.purchase,
    )
    if known:
        purchase_id = known[0][0]
        _attach(sql, redemption, purchase_id, now)
    else:
        purchase_id = _sell(sql, redemption, now)
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
    return Redeemed(purchase_licences(sql, purchase_id), repeated=False)


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
    _require_standing(sql, purchase_id)
    return Redeemed(purchase_licences(sql, purchase_id), repeated=True)


def _require_standing(sql: Sql, purchase_id: int) -> None:
    ((revoked_at,),) = sql.rows(
        "SELECT revoked_at FROM purchases WHERE purchase_id = ?", purchase_id
    )
    if revoked_at is not None:
        raise Refusal(ProblemType.PURCHASE_REVOKED, "the purchase was revoked by the store")


def _sell(sql: Sql, redemption: Redemption, now: dt.datetime) -> int:
    for line in redemption.lines:
        if not sql.rows("SELECT 1 FROM releases WHERE name = ?", line.name):
            raise Refusal(
                ProblemType.UNKNOWN_RELEASE,
                f"{line.name} is not published here; nothing was redeemed",
            )
    ((purchase_id,),) = sql.rows(
        "INSERT INTO purchases (store, purchase, subject, device_limit, created_at)"
        " VALUES (?, ?, ?, ?, ?) RETURNING purchase_id",
        redemption.store,
        redemption.purchase,
        redemption.subject,
        redemption.device_limit,
        to_ms(now),
    )
    for position, line in enumerate(redemption.lines):
        sql.rows(
            "INSERT INTO licences (licence_id, purchase_id, position, name, amount_minor,"
            " currency, granted_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            line.licence_id,
            purchase_id,
            position,
            line.name,
            line.amount_minor,
            line.currency,
            to_ms(now),
        )
    _add_device(sql, purchase_id, redemption.device_id, 1, now)
    sold = tuple(
        events.SoldLine(line.licence_id, line.name, line.amount_minor, line.currency)
        for line in redemption.lines
    )
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
    return int(purchase_id)


def _attach(sql: Sql, redemption: Redemption, purchase_id: int, now: dt.datetime) -> None:
    """Another token of a known purchase: another device, or the same one again."""
    _require_standing(sql, purchase_id)
    _require_same_goods(sql, redemption, purchase_id)
    attached = [
        device_id
        for (device_id,) in sql.rows(
            "SELECT device_id FROM devices WHERE purchase_id = ?", purchase_id
        )
    ]
    if redemption.device_id not in attached:
        if len(attached) >= redemption.device_limit:
            raise Refusal(
                ProblemType.DEVICE_LIMIT_REACHED,
                f"the purchase is already on {len(attached)} devices, "
                f"and {redemption.device_limit} are allowed",
            )
        _add_device(sql, purchase_id, redemption.device_id, len(attached) + 1, now)
    # The newest token tells the limit: a store may raise it for a customer.
    sql.rows(
        "UPDATE purchases SET device_limit = ? WHERE purchase_id = ?",
        redemption.device_limit,
        purchase_id,
    )
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
    if subject != redemption.subject or set(sold) != {_goods(line) for line in redemption.lines}:
        raise Refusal(
            ProblemType.PURCHASE_MISMATCH,
            "the payment token names a known purchase, but not the same customer and items",
        )


def _goods(line: Line) -> tuple[str, int, str]:
    return (line.name, line.amount_minor, line.currency)


def _add_device(
    sql: Sql, purchase_id: int, device_id: str, position: int, now: dt.datetime
) -> None:
    sql.rows(
        "INSERT INTO devices (purchase_id, device_id, position, attached_at) VALUES (?, ?, ?, ?)",
        purchase_id,
        device_id,
        position,
        to_ms(now),
    )


def count(sql: Sql) -> int:
    """See `Ledger.sales`."""
    # From the log, not from the state: what is recorded twice must show.
    ((sold,),) = sql.rows("SELECT COUNT(*) FROM events WHERE kind = 'sale'")
    return int(sold)
