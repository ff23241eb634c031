"""Which store keeps the ledger: `ledger` in the configuration decides."""

import contextlib
from collections.abc import AsyncIterator

from licensing.config import LicensingConfig
from licensing.data_folder import DataFolder
from licensing.ledger import Ledger
from licensing.store_sqlite import open_sqlite_ledger


@contextlib.asynccontextmanager
async def open_ledger(folder: DataFolder, config: LicensingConfig) -> AsyncIterator[Ledger]:
    """Open the ledger that the configuration names. Raises StorageError."""
    async with open_sqlite_ledger(folder.root / config.ledger) as ledger:
        yield ledger
