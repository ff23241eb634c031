"""The audit sees what an intruder changed, whatever it was, on every store."""

from pathlib import Path
from typing import Any, get_args

import pytest

from client_lib.errors import StorageError
from licensing.books import events, replay
from licensing.books.audit import Audited, audit
from licensing.books.ledger import SqlLedger
from licensing.books.schema import Table, tables
from licensing.books.sql import Snapshot
from licensing.store_sqlite import open_scratch
from tests.contract.histories import live
from tests.contract.ledgers import LedgerStore


@pytest.fixture
async def ledger(empty_ledger: SqlLedger) -> SqlLedger:
    await live(empty_ledger)
    return empty_ledger


class Auditor:
    """Audits a ledger and keeps what it says."""

    def __init__(self, ledger: SqlLedger, folder: Path) -> None:
        self._ledger = ledger
        self._path = folder / "scratch.sqlite3"
        self.findings: list[str] = []
        self.shown = 1_000
        self.tables: tuple[Table, ...] = ()

    async def run(self) -> Audited:
        self.findings.clear()
        return await self._ledger.inspect(self._audit)

    def _audit(self, snapshot: Snapshot) -> Audited:
        self._path.unlink(missing_ok=True)
        with open_scratch(self._path) as scratch:
            self.tables = tables(scratch)
            return audit(snapshot, scratch, tell=self.findings.append, shown=self.shown)

    async def finds(self) -> str:
        """What it says now; something, in whole sentences of one line."""
        audited = await self.run()
        assert audited.findings
        assert all("\n" not in line for line in self.findings)
        return "\n".join(self.findings)


@pytest.fixture
def auditor(ledger: SqlLedger, tmp_path: Path) -> Auditor:
    return Auditor(ledger, tmp_path)


def test_every_kind_of_event_has_a_handler() -> None:
    assert set(replay.HANDLERS) == set(get_args(events.Event))


async def test_honest_ledger_is_clean_with_every_event_and_table_in_use(
    auditor: Auditor, store: LedgerStore
) -> None:
    audited = await auditor.run()
    assert auditor.findings == []
    assert audited.findings == 0
    kinds = {kind for (kind,) in store.tamper("SELECT DISTINCT kind FROM events")}
    assert kinds == {str(event.__struct_config__.tag) for event in get_args(events.Event)}
    counts = {
        table.name: store.tamper(f"SELECT COUNT(*) FROM {table.name}")[0][0]
        for table in auditor.tables
    }
    assert all(counts.values()), counts
    assert audited.events == counts.pop("events")
    assert audited.rows == sum(counts.values())
    ((head,),) = store.tamper("SELECT hash FROM events ORDER BY seq DESC LIMIT 1")
    assert audited.head == bytes(head).hex()


async def test_changed_missing_and_added_rows_of_every_table_are_found(
    auditor: Auditor, store: LedgerStore
) -> None:
    await auditor.run()
    for table in auditor.tables:
        name = table.name
        if name == "events":
            continue
        store.tamper(f"CREATE TABLE saved AS SELECT * FROM {name}")
        row = store.tamper(table.by_key)[0]
        where = condition(table, row)
        others = {
            column: changed(column, value) for column, value in zip(table.columns, row, strict=True)
        }
        changes = {
            column: other
            for column, other in others.items()
            if column not in table.key and other != "NULL"
        }
        assignments = ", ".join(f"{column} = {other}" for column, other in changes.items())
        store.tamper(f"UPDATE {name} SET {assignments} WHERE {where}")
        found = await auditor.finds()
        for column in changes:
            assert f": {column} is " in found
        assert found.count(f"{name} ") == len(changes) == len(auditor.findings)
        store.tamper(f"DELETE FROM {name} WHERE {where}")
        assert f"{name} " in await auditor.finds()
        assert len(auditor.findings) == 1
        assert auditor.findings[0].endswith(": the row is missing")
        columns, values = ", ".join(others), ", ".join(others.values())
        store.tamper(f"INSERT INTO {name} ({columns}) VALUES ({values})")
        await auditor.finds()
        assert len(auditor.findings) == 2
        assert auditor.findings[1].endswith(": no event accounts for this row")
        store.tamper(
            f"DELETE FROM {name}", f"INSERT INTO {name} SELECT * FROM saved", "DROP TABLE saved"
        )
    assert (await auditor.run()).findings == 0, auditor.findings


def condition(table: Table, row: tuple[Any, ...]) -> str:
    values = dict(zip(table.columns, row, strict=True))
    return " AND ".join(f"{column} = {literal(values[column])}" for column in table.key)


def literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def changed(column: str, value: str | int | bytes | None) -> str:
    """Another value that the column may have, in SQL."""
    match column, value:
        case ("licence_id" | "device_id" | "key_hash", None):  # of a certificate: one or the other
            return "NULL"
        case ("from_credit" | "owned", int()):
            return literal(1 - value)
        case ("cause", _):
            return "'chargeback'" if value != "chargeback" else "'refund'"
        case (_, bytes()):
            return "(SELECT hash FROM events WHERE seq = 1)"
        case (_, int()):
            return literal(value + 1_000)
        case (_, None):
            return "1"
        case _:
            return literal(f"{value}z")


@pytest.mark.parametrize(
    "change",
    [
        "at = at + 1",
        "kind = CASE kind WHEN 'sale' THEN 'crl' ELSE 'sale' END",
        "body = replace(body, '}', ' }')",
        "body = 'nonsense'",
        "hash = CASE seq WHEN 1 THEN (SELECT hash FROM events WHERE seq = 2)"
        " ELSE (SELECT hash FROM events WHERE seq = 1) END",
    ],
)
async def test_changed_event_of_every_kind_is_found(
    auditor: Auditor, store: LedgerStore, change: str
) -> None:
    first = [seq for (seq,) in store.tamper("SELECT MIN(seq) FROM events GROUP BY kind")]
    store.tamper(f"UPDATE events SET {change} WHERE seq IN ({', '.join(map(str, first))})")
    found = await auditor.finds()
    for seq in first:
        assert f"event {seq} " in found


async def test_removed_event_is_found(auditor: Auditor, store: LedgerStore) -> None:
    store.tamper("DELETE FROM events WHERE seq IN (2, 3, 7)")
    found = await auditor.finds()
    assert "event 2 is missing: event 4 follows 1" in found
    assert "event 7 is missing: event 8 follows 6" in found


async def test_log_that_was_cut_off_no_longer_explains_the_state(
    auditor: Auditor, store: LedgerStore
) -> None:
    store.tamper("DELETE FROM events WHERE seq = (SELECT MAX(seq) FROM events)")
    assert "counters name=crl-number: value is 2, but 1 by the events" in await auditor.finds()


async def test_log_written_anew_has_another_head(auditor: Auditor, store: LedgerStore) -> None:
    before = await auditor.run()
    previous = events.GENESIS
    rows = store.tamper("SELECT seq, at, body FROM events ORDER BY seq")
    for seq, at, body in rows:
        previous = events.link(previous, seq, at + 1, body)
        store.tamper(
            f"UPDATE events SET at = at + 1, hash = {store.blob(previous)} WHERE seq = {seq}"
        )
    after = await auditor.run()
    assert not [finding for finding in auditor.findings if finding.startswith("event")]
    assert after.head == previous.hex() != before.head


async def test_many_findings_of_a_table_are_counted_not_told(
    auditor: Auditor, store: LedgerStore
) -> None:
    auditor.shown = 3
    store.tamper("UPDATE licences SET currency = 'XXX'")
    audited = await auditor.run()
    (licences,) = store.tamper("SELECT COUNT(*) FROM licences")[0]
    assert audited.findings == licences > 3
    assert len(auditor.findings) == 4
    assert auditor.findings[-1] == f"licences: {licences - 3} more findings"


async def test_events_cannot_be_changed_through_the_books_connection(
    ledger: SqlLedger,
) -> None:
    for statement in ("UPDATE events SET at = 0", "DELETE FROM events"):
        with pytest.raises(StorageError, match="append-only"):
            await ledger._write(lambda sql, run=statement: sql.rows(run))  # type: ignore[misc]
