"""Both stores have the same tables, so that a backup of one restores into the other."""

from typing import Any

from licensing.migrations_postgres import STEPS
from licensing.migrations_sqlite import schema_steps
from tests.contract.ledgers import LedgerStore
from tests.postgres import PostgresServer

_TYPES = {"bigint": "INTEGER", "text": "TEXT", "bytea": "BLOB"}

_SQLITE_COLUMNS = (
    'SELECT t.name, c.name, c.type, c."notnull" OR c.pk > 0, c.pk, c.dflt_value'
    " FROM sqlite_master t JOIN pragma_table_info(t.name) c"
    " WHERE t.type = 'table' AND t.name NOT LIKE '%sqlite%' ORDER BY 1, 2"
)
_POSTGRES_COLUMNS = (
    "SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO',"
    " COALESCE(array_position(i.indkey::int2[], c.ordinal_position::int2) + 1, 0),"
    " c.column_default, c.collation_name"
    " FROM information_schema.columns c"
    " JOIN pg_index i ON i.indrelid = c.table_name::regclass AND i.indisprimary"
    " WHERE c.table_schema = 'public' AND c.table_name <> 'schema_steps' ORDER BY 1, 2"
)
_SQLITE_INDEXES = (
    'SELECT t.name, i."unique", i.partial, (SELECT group_concat(name) FROM'
    " (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))"
    " FROM sqlite_master t JOIN pragma_index_list(t.name) i"
    " WHERE t.type = 'table' AND t.name NOT LIKE '%sqlite%' AND i.origin <> 'pk'"
)
_POSTGRES_INDEXES = (
    "SELECT t.relname, i.indisunique, i.indpred IS NOT NULL, (SELECT string_agg(a.attname, ','"
    " ORDER BY array_position(i.indkey::int2[], a.attnum)) FROM pg_attribute a"
    " WHERE a.attrelid = t.oid AND a.attnum = ANY(i.indkey))"
    " FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
    " JOIN pg_namespace n ON n.oid = t.relnamespace"
    " WHERE n.nspname = 'public' AND NOT i.indisprimary AND t.relname <> 'schema_steps'"
)
_SQLITE_REFERENCES = (
    'SELECT t.name, f."from", f."table", f."to" FROM sqlite_master t'
    " JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'"
)
_POSTGRES_REFERENCES = (
    "SELECT t.relname, a.attname, r.relname, b.attname FROM pg_constraint k"
    " JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid"
    " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1]"
    " JOIN pg_attribute b ON b.attrelid = r.oid AND b.attnum = k.confkey[1]"
    " WHERE k.contype = 'f'"
)


def test_steps_have_the_same_names() -> None:
    assert tuple(name for name, _ in STEPS) == schema_steps()


async def test_tables_columns_keys_and_indexes_are_the_same(
    tmp_path: Any,  # noqa: ANN401
    postgres: PostgresServer,
) -> None:
    sqlite = LedgerStore(tmp_path, "ledger.sqlite3")
    other = LedgerStore(tmp_path, postgres.new_database())
    for store in (sqlite, other):
        async with store.open():
            pass
    columns = [
        (table, column, _TYPES[type_], bool(required), key, default and _literal(default))
        for table, column, type_, required, key, default, _ in other.tamper(_POSTGRES_COLUMNS)
    ]
    assert columns == [(*row[:3], bool(row[3]), *row[4:]) for row in sqlite.tamper(_SQLITE_COLUMNS)]
    collations = {(row[2], row[6]) for row in other.tamper(_POSTGRES_COLUMNS)}
    assert collations == {("text", "C"), ("bigint", None), ("bytea", None)}
    assert _rows(other, _POSTGRES_INDEXES) == _rows(sqlite, _SQLITE_INDEXES)
    assert _rows(other, _POSTGRES_REFERENCES) == _rows(sqlite, _SQLITE_REFERENCES)


def _literal(default: str) -> str:
    return default.partition("::")[0]


def _rows(store: LedgerStore, statement: str) -> list[tuple[Any, ...]]:
    return sorted(
        tuple(int(value) if isinstance(value, bool) else value for value in row)
        for row in store.tamper(statement)
    )
