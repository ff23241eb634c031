from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from tracker.unhurried import unhurried


@given(st.lists(st.integers(), max_size=40), st.integers(1, 10))
def test_nothing_is_lost_and_there_is_a_pause_after_every_so_many(
    items: list[int], at_once: int
) -> None:
    with patch("time.sleep") as sleep:
        assert list(unhurried(items, at_once)) == items
    assert sleep.call_count == len(items) // at_once
