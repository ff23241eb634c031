"""What events change in the state, written anew: the rows beneath `replay`.

Nothing is shared with the code that applies the rules, so that its faults are not repeated.
"""

from functools import cache
from typing import Any

import msgspec

from licensing.books import events
from licensing.books.sql import Sql, Value

PURCHASE = "SELECT purchase_id FROM purchases WHERE store = ? AND purchase = ?"
ACCOUNT = "SELECT balance_minor FROM accounts WHERE store = ? AND subject = ? AND currency = ?"


def open_purchase(
    sql: Sql,
    event: events.Sale | events.CreditAdded | events.Bought,
    at: int,
    *,
    from_credit: int = 0,
) -> int:
    """Enter a purchase and attach its first device; return its number."""
    ((purchase_id,),) = sql.rows("SELECT COALESCE(MAX(purchase_id), 0) + 1 FROM purchases")
    insert(
        sql,
        "purchases",
        purchase_id=purchase_id,
        store=event.store,
        purchase=event.purchase,
        subject=event.subject,
        device_limit=event.device_limit,
        created_at=at,
        from_credit=from_credit,
    )
    attach(sql, purchase_id, event.device_id, at)
    return int(purchase_id)


def purchase_of(sql: Sql, store: str, purchase: str) -> int:
    """A purchase's number. Raises ValueError if no event opened it."""
    ((purchase_id,),) = require_rows(sql, PURCHASE, store, purchase)
    return int(purchase_id)


def grant(sql: Sql, purchase_id: int, position: int, line: events.SoldLine, at: int) -> None:
    """Enter a licence as sold."""
    insert(
        sql,
        "licences",
        licence_id=line.licence_id,
        purchase_id=purchase_id,
        position=position,
        name=line.name,
        amount_minor=line.amount_minor,
        currency=line.currency,
        granted_at=at,
        rights_version=line.rights_version,
    )


def attach(sql: Sql, purchase_id: int, device_id: str, at: int) -> None:
    """Attach a device, unless it is attached already."""
    on_it = sql.rows("SELECT device_id FROM devices WHERE purchase_id = ?", purchase_id)
    if (device_id,) not in on_it:
        insert(
            sql,
            "devices",
            device_id=device_id,
            purchase_id=purchase_id,
            position=len(on_it) + 1,
            attached_at=at,
        )


def spend_token(
    sql: Sql,
    event: events.Sale | events.DeviceAttached | events.CreditAdded,
    purchase_id: int,
    at: int,
) -> None:
    """Enter a token as redeemed."""
    insert(
        sql,
        "tokens",
        store=event.store,
        token_id=event.token_id,
        digest=event.digest,
        purchase_id=purchase_id,
        device_id=event.device_id,
        redeemed_at=at,
    )


def remember_order(
    sql: Sql,
    event: events.Bought | events.AlreadyOwned,
    at: int,
    licence_id: str,
    currency: str,
    charged_minor: int | None,
) -> None:
    """`charged_minor` None: owned already."""
    insert(
        sql,
        "orders",
        device_id=event.device_id,
        idempotency_key=event.idempotency_key,
        licence_id=licence_id,
        currency=currency,
        charged_minor=charged_minor or 0,
        balance_minor=event.balance_minor,
        owned=int(charged_minor is None),
        ordered_at=at,
    )


def settle(
    sql: Sql,
    purchase_id: int,
    event: events.PurchaseRevoked | events.PurchaseReinstated,
    cause: str,
    at: int,
) -> None:
    """Move the money, enter the refund, make the CRL out of date."""
    accounts = sql.rows(
        "SELECT p.store, p.subject, t.currency FROM purchases p"
        " JOIN topups t ON t.purchase_id = p.purchase_id WHERE p.purchase_id = ?"
        " UNION ALL SELECT p.store, p.subject, l.currency FROM purchases p"
        " JOIN licences l ON l.purchase_id = p.purchase_id"
        " WHERE p.purchase_id = ? AND p.from_credit = 1",
        purchase_id,
        purchase_id,
    )
    changes = event.balance_change_minor, event.shortfall_change_minor
    if accounts:
        change_account(sql, accounts[0], *changes)
    elif any(changes):
        raise ValueError("it moves money of a purchase that has no account")
    ((position,),) = sql.rows("SELECT COUNT(*) + 1 FROM refunds WHERE purchase_id = ?", purchase_id)
    insert(sql, "refunds", purchase_id=purchase_id, position=position, cause=cause, at=at)
    count(sql, "revocations")


def change_account(
    sql: Sql, account: tuple[Value, ...], balance_change: int, shortfall_change: int
) -> int:
    """Move money; return the balance. Raises ValueError for an unknown account."""
    ((balance,),) = require_rows(
        sql,
        "UPDATE accounts SET balance_minor = balance_minor + ?,"
        " shortfall_minor = shortfall_minor + ?"
        " WHERE store = ? AND subject = ? AND currency = ? RETURNING balance_minor",
        balance_change,
        shortfall_change,
        *account,
    )
    return int(balance)


def count(sql: Sql, name: str) -> int:
    """Add one to a counter and return it."""
    ((value,),) = sql.rows(
        "INSERT INTO counters (name, value) VALUES (?, 1)"
        " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        name,
    )
    return int(value)


def require_rows(sql: Sql, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
    """Rows of a statement. Raises ValueError if there are none."""
    found = sql.rows(statement, *parameters)
    if not found:
        raise ValueError("no event before it tells of what it changes")
    return found


def insert(sql: Sql, table: str, **values: Value) -> None:
    """Enter one row."""
    sql.rows(_insertion(table, tuple(values)), *values.values())


@cache
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


def as_json(value: object) -> str:
    """How the ledger keeps what has structure."""
    return msgspec.json.encode(value).decode()
