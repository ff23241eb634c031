"""Purchases from prepaid credit: one transaction that debits, licenses and remembers the key."""

import datetime as dt

from client_lib.wire.licensing_api import PurchaseAnswer
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType
from licensing.books import credit, events, holdings
from licensing.books.credit import Account, Customer
from licensing.books.licences import licence
from licensing.books.sql import Sql, to_ms
from licensing.ledger import Order
from licensing.refusal import Refusal

OWNED_ORDERS_PER_DAY = 24
"""Orders of what a device has already, each with a key of its own: they are in the log for ever."""
_DAY = dt.timedelta(days=1)

_OWNED = (
    "SELECT l.licence_id, p.purchase_id, p.device_limit FROM purchases p"
    " JOIN licences l ON l.purchase_id = p.purchase_id AND l.name = ? AND l.revoked_at IS NULL"
)


def buy(sql: Sql, order: Order, now: dt.datetime) -> PurchaseAnswer:
    """See `Ledger.buy`."""
    if (placed := _placed(sql, order)) is not None:
        return placed
    whose = credit.customers(sql, order.device_id)
    owned = _on_device(sql, order) or _of_customers(sql, order, whose)
    if owned is None:
        _sell(sql, order, whose, now)
    else:
        _join(sql, order, *owned, now)
    answer = _placed(sql, order)
    assert answer is not None  # noqa: S101 - written a moment ago
    return answer


def _placed(sql: Sql, order: Order) -> PurchaseAnswer | None:
    """The answer to an order with this key, if there was one."""
    found = sql.rows(
        "SELECT o.licence_id, l.name, p.purchase, o.owned, o.charged_minor, o.balance_minor,"
        " o.currency FROM orders o JOIN licences l ON l.licence_id = o.licence_id"
        " JOIN purchases p ON p.purchase_id = l.purchase_id"
        " WHERE o.device_id = ? AND o.idempotency_key = ?",
        order.device_id,
        order.idempotency_key,
    )
    if not found:
        return None
    licence_id, name, purchase, owned, charged, balance, currency = found[0]
    if (name, currency) != (order.name, order.currency):
        raise Refusal(
            ProblemType.IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used for another purchase; make a new one for each",
        )
    return PurchaseAnswer(
        licence=licence(sql, licence_id),
        purchase=purchase,
        already_owned=bool(owned),
        charged_minor=charged,
        balance_minor=balance,
        currency=currency,
    )


def _on_device(sql: Sql, order: Order) -> tuple[str, int, int] | None:
    """A licence for the release that the device may use: id, purchase row, device limit."""
    found = sql.rows(
        _OWNED + " JOIN devices d ON d.purchase_id = p.purchase_id AND d.position <= p.device_limit"
        " WHERE p.revoked_at IS NULL AND d.device_id = ? ORDER BY p.purchase_id LIMIT 1",
        order.name,
        order.device_id,
    )
    return found[0] if found else None


def _of_customers(sql: Sql, order: Order, whose: list[Customer]) -> tuple[str, int, int] | None:
    """The same for a licence that one of the device's customers has on other devices."""
    for customer in whose:
        found = sql.rows(
            _OWNED + " WHERE p.revoked_at IS NULL AND p.store = ? AND p.subject = ?"
            " ORDER BY p.purchase_id LIMIT 1",
            order.name,
            customer.store,
            customer.subject,
        )
        if found:
            licence_id, purchase_id, device_limit = found[0]
            return licence_id, purchase_id, device_limit
    return None


def _join(
    sql: Sql, order: Order, licence_id: str, purchase_id: int, device_limit: int, now: dt.datetime
) -> None:
    """Answer an owned release: no charge, and the device is on its purchase from now on."""
    _require_within_limit(sql, order, licence_id, now)
    holdings.attach(sql, purchase_id, order.device_id, device_limit=device_limit, now=now)
    ((store, subject),) = sql.rows(
        "SELECT store, subject FROM purchases WHERE purchase_id = ?", purchase_id
    )
    balance = credit.balance(sql, Account(store, subject, order.currency))
    _remember(sql, order, licence_id, now, charged=0, balance=balance, owned=True)
    events.append(
        sql,
        events.AlreadyOwned(
            device_id=order.device_id,
            idempotency_key=order.idempotency_key,
            licence_id=licence_id,
            currency=order.currency,
            balance_minor=balance,
        ),
        now,
    )


def _require_within_limit(sql: Sql, order: Order, licence_id: str, now: dt.datetime) -> None:
    recent = sql.rows(
        "SELECT ordered_at FROM orders WHERE device_id = ? AND licence_id = ? AND owned = 1"
        " AND ordered_at > ? ORDER BY ordered_at DESC LIMIT 1 OFFSET ?",
        order.device_id,
        licence_id,
        to_ms(now - _DAY),
        OWNED_ORDERS_PER_DAY - 1,
    )
    if recent:
        wait_s = -(-(int(recent[0][0]) - to_ms(now - _DAY)) // 1000)
        raise Refusal(
            ProblemType.TOO_MANY_REQUESTS,
            f"this device ordered {order.name}, which it has, {OWNED_ORDERS_PER_DAY} times within"
            " 24 hours",
            reason="orders",
            retry_after_s=wait_s,
        )


def _sell(sql: Sql, order: Order, whose: list[Customer], now: dt.datetime) -> None:
    released = sql.rows("SELECT rights_version FROM releases WHERE name = ?", order.name)
    if not released:
        raise Refusal(ProblemType.UNKNOWN_RELEASE, f"{order.name} is not published here")
    if order.price_minor is None:
        raise Refusal(ProblemType.NOT_FOR_SALE, f"nothing is sold for {order.currency} here")
    customer, balance = _charge(sql, order, order.price_minor, whose)
    purchase_id = holdings.open_purchase(
        sql,
        customer.store,
        order.purchase,
        customer.subject,
        device_limit=customer.device_limit,
        device_id=order.device_id,
        now=now,
        from_credit=True,
    )
    line = events.SoldLine(
        order.licence_id, order.name, order.price_minor, order.currency, int(released[0][0])
    )
    holdings.license_line(sql, purchase_id, 0, line, now)
    _remember(
        sql, order, order.licence_id, now, charged=order.price_minor, balance=balance, owned=False
    )
    events.append(
        sql,
        events.Bought(
            store=customer.store,
            purchase=order.purchase,
            subject=customer.subject,
            device_limit=customer.device_limit,
            device_id=order.device_id,
            idempotency_key=order.idempotency_key,
            line=line,
            balance_minor=balance,
        ),
        now,
    )


def _charge(
    sql: Sql, order: Order, price_minor: int, whose: list[Customer]
) -> tuple[Customer, int]:
    """Take the price from the first account that holds it; whose it was, and what is left."""
    most = 0
    for customer in whose:
        account = Account(customer.store, customer.subject, order.currency)
        left = credit.debit(sql, account, price_minor)
        if left is not None:
            return customer, left
        most = max(most, credit.balance(sql, account))
    price, balance = Money(price_minor, order.currency), Money(most, order.currency)
    raise Refusal(
        ProblemType.INSUFFICIENT_CREDIT,
        f"{order.name} costs {price}, and the balance is {balance}; top up at the store",
        balance=balance,
        price=price,
    )


def _remember(
    sql: Sql,
    order: Order,
    licence_id: str,
    now: dt.datetime,
    *,
    charged: int,
    balance: int,
    owned: bool,
) -> None:
    sql.rows(
        "INSERT INTO orders (device_id, idempotency_key, licence_id, currency, charged_minor,"
        " balance_minor, owned, ordered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        order.device_id,
        order.idempotency_key,
        licence_id,
        order.currency,
        charged,
        balance,
        int(owned),
        to_ms(now),
    )
