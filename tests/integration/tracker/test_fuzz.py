from pathlib import Path

from tests.integration.tracker.fuzz import fuzz


async def test_hostile_clients_do_not_keep_licensed_ones_from_their_tracker(tmp_path: Path) -> None:
    """A short one; `make fuzz-tracker` attacks for as long as you like."""
    result = await fuzz(3_000, tmp_path, seed="short")
    assert result.requests >= 3_000
    assert result.seen["200"] > 1_000
    assert result.seen["400"] > 50
