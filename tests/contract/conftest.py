from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from licensing.books.ledger import SqlLedger
from tests.contract.ledgers import LedgerStore
from tests.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    """An empty ledger, on either store."""
    if request.param == "sqlite":
        return LedgerStore(tmp_path, "ledger.sqlite3")
    server: PostgresServer = request.getfixturevalue("postgres")
    return LedgerStore(tmp_path, server.new_schema())


@pytest.fixture
async def empty_ledger(store: LedgerStore) -> AsyncIterator[SqlLedger]:
    async with store.open() as ledger:
        yield ledger
