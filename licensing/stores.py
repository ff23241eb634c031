"""Which store keeps the ledger: `ledger` in the configuration decides."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from client_lib.errors import ConfigError
from licensing.books.ledger import SqlLedger
from licensing.config import LicensingConfig, is_postgres
from licensing.store_sqlite import open_sqlite_ledger


class Folder(Protocol):
    """Where relative paths start: the data folder."""

    @property
    def root(self) -> Path:
        """Its path."""
        ...


@contextlib.asynccontextmanager
async def open_ledger(
    folder: Folder, config: LicensingConfig, *, create: bool = False
) -> AsyncIterator[SqlLedger]:
    """Open the ledger that the configuration names. Raises StorageError and ConfigError.

    `create`: make one if there is none.
    """
    if is_postgres(config.ledger):
        require_psycopg()
        from licensing.store_postgres import open_postgres_ledger

        async with open_postgres_ledger(config.ledger, create=create) as ledger:
            yield ledger
    else:
        async with open_sqlite_ledger(folder.root / config.ledger, create=create) as ledger:
            yield ledger


def require_psycopg() -> None:
    """Raise ConfigError if the extra for PostgreSQL is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "a ledger on PostgreSQL needs psycopg: pip install 'albumswarm[licensing,postgres]'"
        ) from error
