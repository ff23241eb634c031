"""The short version of `make drill-client`."""

from pathlib import Path

import trio

from tests.drills.client_kills import drill
from tests.patience import PATIENCE_S


async def test_a_queue_survives_being_killed(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        report = await drill(tmp_path, albums=8, kills=3, largest=1_500_000, seed=3)
    assert report.kills == 3
    assert len(report.finished) <= 8
