"""When silent peers are called anew."""

from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.line.stall import Redial


def called_at(redial: Redial, seconds: range, *, peers: int = 1) -> list[int]:
    return [still_s for still_s in seconds if redial.is_due(float(still_s), peers)]


def test_the_silent_are_called_ever_more_rarely() -> None:
    assert called_at(Redial(), range(300)) == [15, 30, 60, 120, 240]


def test_after_a_byte_it_begins_anew() -> None:
    redial = Redial()
    assert called_at(redial, range(100)) == [15, 30, 60]
    assert called_at(redial, range(40)) == [15, 30]


def test_with_nobody_there_nobody_is_called() -> None:
    assert called_at(Redial(), range(300), peers=0) == []


@given(st.lists(st.floats(0, 1000), max_size=200).map(sorted))
def test_a_silence_is_at_most_twice_as_long_before_the_next_call(silence: list[float]) -> None:
    redial, last = Redial(), 0.0
    for still_s in silence:
        if redial.is_due(still_s, 1):
            last = still_s
        assert still_s < max(15.0, 2 * last) or still_s == last
