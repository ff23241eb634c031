"""A ledger on either store, as the contract suite opens it and as an intruder changes it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from pysqlite3 import dbapi2

from licensing.books.ledger import SqlLedger
from licensing.config import LicensingConfig, is_postgres
from licensing.data_folder import DataFolder
from licensing.stores import open_ledger


@dataclass(frozen=True)
class LedgerStore:
    """Where one ledger lives: a folder, and `ledger` in its configuration."""

    folder: Path
    setting: str

    @property
    def config(self) -> LicensingConfig:
        config = LicensingConfig("com.example.shop", "https://localhost", ("https://t",))
        return msgspec.structs.replace(config, ledger=self.setting)

    @contextlib.asynccontextmanager
    async def open(self, *, create: bool = True) -> AsyncIterator[SqlLedger]:
        async with open_ledger(DataFolder(self.folder), self.config, create=create) as ledger:
            yield ledger

    def tamper(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as somebody may who owns the database; rows of the last one."""
        with self._intruder() as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            found: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            connection.commit()
            return found

    def blob(self, data: bytes) -> str:
        """Bytes as this store's SQL writes them."""
        return f"'\\x{data.hex()}'" if is_postgres(self.setting) else f"x'{data.hex()}'"

    @contextlib.contextmanager
    def _intruder(self) -> Iterator[Any]:
        if is_postgres(self.setting):
            with psycopg.connect(self.setting) as connection:
                # Neither triggers nor foreign keys stop an owner.
                connection.execute("SET session_replication_role = replica")
                yield connection
        else:
            with contextlib.closing(dbapi2.connect(self.folder / self.setting)) as sqlite:
                sqlite.execute("DROP TRIGGER IF EXISTS events_stay")
                sqlite.execute("DROP TRIGGER IF EXISTS events_remain")
                yield sqlite
