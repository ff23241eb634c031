"""The kill drill (`make drill-licensing`), short."""

import random
from pathlib import Path

import pytest
import trio

from tests.drills.kill import drill
from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_killed_services_lose_and_double_nothing(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    ledger, processes = "ledger.sqlite3", 1
    if store == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        ledger, processes = server.new_database(), 2
    with trio.fail_after(PATIENCE_S):
        report = await drill(
            tmp_path / "licensing",
            kills=4,
            processes=processes,
            ledger=ledger,
            rng=random.Random(),
            customers=8,
        )
    assert report.acknowledged["redeem"] > 10
    assert report.sales > 10
