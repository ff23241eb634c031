"""Prepaid credit: a customer's accounts at a store, one a currency.

A balance is never negative. What a revoked top-up should have taken and could not is the
account's shortfall; money that comes back pays that first, fresh money does not.
"""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from client_lib.wire.licensing_api import Balance
from licensing.books import events, holdings
from licensing.books.sql import Sql
from licensing.ledger import Redemption, TopUp


class Account(NamedTuple):
    """Primary key of an account, in the table's order."""

    store: str
    subject: str
    currency: str


@dataclass(frozen=True, slots=True)
class Change:
    """How an account changed."""

    balance_minor: int = 0
    shortfall_minor: int = 0


class Customer(NamedTuple):
    """Whose money a device may spend, and on how many devices their purchases may be."""

    store: str
    subject: str
    device_limit: int


def customers(sql: Sql, device_id: str) -> list[Customer]:
    """Customers whose credit the device may spend: it redeemed tokens of theirs that stand.

    What was bought from credit proves nothing more.
    """
    found = sql.rows(
        "SELECT p.store, p.subject, MAX(p.device_limit)"
        " FROM devices d JOIN purchases p ON p.purchase_id = d.purchase_id"
        " WHERE d.device_id = ? AND p.from_credit = 0 AND p.revoked_at IS NULL"
        " AND d.position <= p.device_limit"
        " GROUP BY p.store, p.subject ORDER BY p.store, p.subject",
        device_id,
    )
    return [Customer(*row) for row in found]


def spendable(sql: Sql, device_id: str) -> tuple[Balance, ...]:
    """See `Ledger.balances`."""
    return tuple(
        balance
        for customer in customers(sql, device_id)
        for balance in balances_of(sql, customer.store, customer.subject)
    )


def balances_of(sql: Sql, store: str, subject: str) -> tuple[Balance, ...]:
    """All accounts of a customer."""
    found = sql.rows(
        "SELECT store, subject, currency, balance_minor FROM accounts"
        " WHERE store = ? AND subject = ? ORDER BY currency",
        store,
        subject,
    )
    return tuple(Balance(*row) for row in found)


def balance(sql: Sql, account: Account) -> int:
    """What an account holds; 0 if there is none."""
    return _state(sql, account)[0]


def shortfall(sql: Sql, account: Account) -> int:
    """What a revoked top-up should have taken from an account and could not."""
    return _state(sql, account)[1]


def _state(sql: Sql, account: Account) -> tuple[int, int]:
    found = sql.rows(
        "SELECT balance_minor, shortfall_minor FROM accounts"
        " WHERE store = ? AND subject = ? AND currency = ?",
        *account,
    )
    return (int(found[0][0]), int(found[0][1])) if found else (0, 0)


def top_up(sql: Sql, redemption: Redemption, topup: TopUp, now: dt.datetime) -> int:
    """Enter a purchase of credit; its row number."""
    purchase_id = holdings.open_purchase(
        sql,
        redemption.store,
        redemption.purchase,
        redemption.subject,
        device_limit=redemption.device_limit,
        device_id=redemption.device_id,
        now=now,
    )
    sql.rows(
        "INSERT INTO topups (purchase_id, amount_minor, currency) VALUES (?, ?, ?)",
        purchase_id,
        topup.amount_minor,
        topup.currency,
    )
    account = Account(redemption.store, redemption.subject, topup.currency)
    _apply(sql, account, Change(balance_minor=topup.amount_minor))
    events.append(
        sql,
        events.CreditAdded(
            store=redemption.store,
            purchase=redemption.purchase,
            subject=redemption.subject,
            token_id=redemption.token_id,
            digest=redemption.digest,
            device_limit=redemption.device_limit,
            device_id=redemption.device_id,
            amount_minor=topup.amount_minor,
            currency=topup.currency,
        ),
        now,
    )
    return purchase_id


def topped_up(sql: Sql, purchase_id: int) -> TopUp | None:
    """The credit that a purchase brought, None for one of releases."""
    found = sql.rows("SELECT amount_minor, currency FROM topups WHERE purchase_id = ?", purchase_id)
    return TopUp(int(found[0][0]), found[0][1]) if found else None


def debit(sql: Sql, account: Account, amount_minor: int) -> int | None:
    """Take a price; what is left, or None if the account does not hold so much."""
    left = sql.rows(
        "UPDATE accounts SET balance_minor = balance_minor - ?"
        " WHERE store = ? AND subject = ? AND currency = ? AND balance_minor >= ?"
        " RETURNING balance_minor",
        amount_minor,
        *account,
        amount_minor,
    )
    return int(left[0][0]) if left else None


def give_back(sql: Sql, account: Account, amount_minor: int) -> Change:
    """Return money, to the shortfall first."""
    settled = min(shortfall(sql, account), amount_minor)
    change = Change(balance_minor=amount_minor - settled, shortfall_minor=-settled)
    return _apply(sql, account, change)


def take_back(sql: Sql, account: Account, amount_minor: int) -> Change:
    """Take money as far as the balance goes; the rest is added to the shortfall."""
    taken = min(balance(sql, account), amount_minor)
    change = Change(balance_minor=-taken, shortfall_minor=amount_minor - taken)
    return _apply(sql, account, change)


def _apply(sql: Sql, account: Account, change: Change) -> Change:
    sql.rows(
        "INSERT INTO accounts (store, subject, currency, balance_minor) VALUES (?, ?, ?, 0)"
        " ON CONFLICT (store, subject, currency) DO NOTHING",
        *account,
    )
    sql.rows(
        "UPDATE accounts SET balance_minor = balance_minor + ?,"
        " shortfall_minor = shortfall_minor + ?"
        " WHERE store = ? AND subject = ? AND currency = ?",
        change.balance_minor,
        change.shortfall_minor,
        *account,
    )
    return change
