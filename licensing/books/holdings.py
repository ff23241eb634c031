"""Holdings: a purchase of a customer at a store, and the devices that are on it."""

import datetime as dt

from client_lib.wire.problem import ProblemType
from licensing.books.events import SoldLine
from licensing.books.sql import Sql, to_ms
from licensing.refusal import Refusal


def find(sql: Sql, store: str, purchase: str) -> int | None:
    """Row number of a purchase that is in the books."""
    known = sql.rows(
        "SELECT purchase_id FROM purchases WHERE store = ? AND purchase = ?", store, purchase
    )
    return int(known[0][0]) if known else None


def open_purchase(
    sql: Sql,
    store: str,
    purchase: str,
    subject: str,
    *,
    device_limit: int,
    device_id: str,
    now: dt.datetime,
    from_credit: bool = False,
) -> int:
    """Enter a new purchase with its first device; its row number."""
    # Numbered here, not by the database: the audit finds the numbers again from the events.
    ((purchase_id,),) = sql.rows(
        "INSERT INTO purchases"
        " (purchase_id, store, purchase, subject, device_limit, created_at, from_credit)"
        " SELECT COALESCE(MAX(purchase_id), 0) + 1, ?, ?, ?, ?, ?, ? FROM purchases"
        " RETURNING purchase_id",
        store,
        purchase,
        subject,
        device_limit,
        to_ms(now),
        int(from_credit),
    )
    _add_device(sql, purchase_id, device_id, 1, now)
    return int(purchase_id)


def license_line(
    sql: Sql, purchase_id: int, position: int, line: SoldLine, now: dt.datetime
) -> None:
    """Enter the licence for one release of a purchase."""
    sql.rows(
        "INSERT INTO licences (licence_id, purchase_id, position, name, amount_minor,"
        " currency, granted_at, rights_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        line.licence_id,
        purchase_id,
        position,
        line.name,
        line.amount_minor,
        line.currency,
        to_ms(now),
        line.rights_version,
    )


def attach(
    sql: Sql, purchase_id: int, device_id: str, *, device_limit: int, now: dt.datetime
) -> None:
    """Put a device on a purchase, if it is not yet. Refuses device-limit-reached."""
    attached = [
        known
        for (known,) in sql.rows("SELECT device_id FROM devices WHERE purchase_id = ?", purchase_id)
    ]
    if device_id in attached:
        return
    if len(attached) >= device_limit:
        raise Refusal(
            ProblemType.DEVICE_LIMIT_REACHED,
            f"the purchase is already on {len(attached)} devices, and {device_limit} are allowed",
        )
    _add_device(sql, purchase_id, device_id, len(attached) + 1, now)


def require_standing(sql: Sql, purchase_id: int) -> None:
    """Refuse a purchase that was revoked."""
    ((revoked_at,),) = sql.rows(
        "SELECT revoked_at FROM purchases WHERE purchase_id = ?", purchase_id
    )
    if revoked_at is not None:
        raise _revoked()


def require_not_withheld(sql: Sql, store: str, purchase: str) -> None:
    """Refuse a purchase that was revoked before anybody redeemed it."""
    if sql.rows("SELECT 1 FROM withheld WHERE store = ? AND purchase = ?", store, purchase):
        raise _revoked()


def _revoked() -> Refusal:
    return Refusal(ProblemType.PURCHASE_REVOKED, "the purchase was revoked by the store")


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
