"""No request reads a whole table: every statement of the hot paths finds its rows by an index."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from client_lib.wire.revocation_token import RevocationKind
from licensing.books import api_keys, catalogue, licences, purchases, refunds, revocations, sales
from licensing.books.ledger import SqlLedger
from licensing.books.sql import Sql, Value
from licensing.config import is_postgres
from licensing.ledger import TopUp
from tests.contract.histories import (
    DAY,
    NOW,
    ONE,
    TWO,
    licence_number,
    live,
    order,
    redemption,
    revocation,
)
from tests.contract.leaves import IssuedCertificate
from tests.contract.ledgers import LedgerStore

LEAF = IssuedCertificate(77, licence_number(2), "device-a", NOW + DAY)
CALLS: dict[str, Callable[[Sql], object]] = {
    "redeem": lambda sql: sales.redeem(sql, redemption("new", ONE, first_licence=90), NOW),
    "redeem again": lambda sql: sales.redeem(
        sql, redemption("order-1", TWO, ONE, token="third", device="device-z"), NOW
    ),
    "top up": lambda sql: sales.redeem(sql, redemption("t", topup=TopUp(9, "EUR")), NOW),
    "library": lambda sql: licences.library(sql, "device-a"),
    "held licence": lambda sql: licences.held_licence(sql, licence_number(2), "device-a"),
    "certificate": lambda sql: licences.issue_certificate(
        sql, licence_number(2), "device-a", lambda _held: LEAF, limit=5, now=NOW
    ),
    "buy": lambda sql: purchases.buy(sql, order("key-9", ONE, 95, device="device-c"), NOW),
    "revoke": lambda sql: refunds.apply(
        sql, revocation("r-9", "order-1", RevocationKind.REFUND), NOW
    ),
    "torrent": lambda sql: catalogue.torrent(sql, ONE),
    "catalogue": lambda sql: catalogue.releases(sql, 1, 10),
    "api key": lambda sql: api_keys.api_key(sql, "hash of publisher"),
    "revocation sequence": revocations.revocation_sequence,
    "revocation list": lambda sql: revocations.revoked_certificates(sql, NOW),
}


class Recording:
    """A transaction that remembers what was asked of it."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self.statements: list[tuple[str, tuple[Value, ...]]] = []

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        self.statements.append((statement, parameters))
        return self._sql.rows(statement, *parameters)


@pytest.mark.parametrize("call", CALLS)
async def test_statements_use_indexes(
    empty_ledger: SqlLedger, store: LedgerStore, call: str
) -> None:
    await live(empty_ledger)
    assert await whole_table_reads(empty_ledger, store, CALLS[call]) == []


async def test_statement_without_an_index_is_noticed(
    empty_ledger: SqlLedger, store: LedgerStore
) -> None:
    await live(empty_ledger)
    for statement in (
        "SELECT 1 FROM licences l WHERE l.amount_minor = ?",
        "SELECT COUNT(*) FROM purchases WHERE subject = ? OR device_limit = 7",
    ):

        def ask(sql: Sql, statement: str = statement) -> object:
            return sql.rows(statement, 7 if "amount" in statement else "7")

        assert await whole_table_reads(empty_ledger, store, ask)


async def whole_table_reads(
    ledger: SqlLedger, store: LedgerStore, call: Callable[[Sql], object]
) -> list[str]:
    """The statements of a call, with their plans, that find their rows by no index."""
    on_postgres = is_postgres(store.setting)

    def plans(sql: Sql) -> list[tuple[str, list[str]]]:
        recording = Recording(sql)
        call(recording)
        if on_postgres:
            # So small a table is read whole for good reasons; like this, only for want of better.
            sql.rows("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN " if on_postgres else "EXPLAIN QUERY PLAN "
        return [
            (statement, [str(row[-1]) for row in sql.rows(explain + statement, *parameters)])
            for statement, parameters in recording.statements
        ]

    found = await ledger._write(plans)
    assert found
    tables = {name for (name,) in store.tamper(_TABLES[on_postgres])}
    return [
        f"{statement}: {line}"
        for statement, plan in found
        for line in plan
        if reads_whole_table(line, statement, tables)
    ]


_TABLES = {
    False: "SELECT name FROM sqlite_master WHERE type = 'table'",
    True: "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}


def reads_whole_table(line: str, statement: str, tables: set[str]) -> bool:
    if re.search(r"\bSeq Scan on (?!counters)", line):
        return True
    scan = re.match(r"SCAN (\w+)$", line)
    if scan is None:
        return False
    # SQLite's check of who refers to a new row: planned, but not run while no reference dangles.
    if statement.startswith("INSERT INTO purchases") and scan[1] == "tokens":
        return False
    # The last event: one step in the order of the table itself.
    if scan[1] == "events" and statement.endswith("ORDER BY seq DESC LIMIT 1"):
        return False
    named = re.findall(r"(?:FROM|JOIN) (\w+) (\w)\b", statement)
    aliases = {alias: name for name, alias in named}
    return aliases.get(scan[1], scan[1]) in tables
