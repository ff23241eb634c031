import pytest

from licensing.books.ledger import SqlLedger
from tests.contract.ledger.till import NOW, ONE, OTHER_FORMAT, TWO, release


@pytest.fixture
async def ledger(empty_ledger: SqlLedger) -> SqlLedger:
    for name in (ONE, TWO, OTHER_FORMAT):
        await empty_ledger.publish(release(name), now=NOW)
    return empty_ledger
