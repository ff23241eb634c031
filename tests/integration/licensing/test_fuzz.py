"""A short run of `make fuzz-licensing`."""

from pathlib import Path

import trio

from tests.integration.licensing.fuzz import fuzz
from tests.patience import PATIENCE_S


async def test_schemathesis_finds_no_500_and_nothing_outside_the_schema(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        assert await fuzz(tmp_path, examples=2, seed=1, names=("device",)) == []
