"""What a listener needs next."""

from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.listening.read_ahead import ReadAhead, TrackPieces, wishes

KIB = 1 << 10
TRACK = TrackPieces(first_piece=10, piece_length_bytes=64 * KIB, length_bytes=100 * 64 * KIB - 5)
TUNING = ReadAhead(far_bytes=2048 * KIB, near_bytes=512 * KIB, low_bytes=128 * KIB)


def test_nearest_pieces_come_first_and_soonest() -> None:
    wish = wishes(TRACK, 64 * KIB, {12, 13}, TUNING)
    assert wish.ahead[:3] == (11, 14, 15)
    assert wish.near == (11, 14, 15, 16, 17, 18)
    assert list(wish.deadlines_ms.values()) == sorted(wish.deadlines_ms.values())
    assert wish.there_bytes == 0


def test_hunger_begins_when_little_is_there_and_ends_when_all_that_is_near_is() -> None:
    little = wishes(TRACK, 0, {10}, TUNING)
    assert little.is_hungry(False, TUNING)
    enough = wishes(TRACK, 0, {10, 11}, TUNING)
    assert not enough.is_hungry(False, TUNING)
    assert enough.is_hungry(True, TUNING)
    assert not wishes(TRACK, 0, set(range(10, 18)), TUNING).is_hungry(True, TUNING)


def test_nobody_is_hungry_at_the_end_of_the_file() -> None:
    last = wishes(TRACK, TRACK.length_bytes - 10, {109}, TUNING)
    assert (last.ahead, last.there_bytes, last.is_hungry(False, TUNING)) == ((), 10, False)
    end = wishes(TRACK, TRACK.length_bytes, set(), TUNING)
    assert (end.ahead, end.is_hungry(False, TUNING)) == ((), False)


@given(
    st.integers(0, 50_000_000),
    st.sampled_from([16 * KIB, 64 * KIB, 1 << 20]),
    st.integers(0, 500),
    st.sets(st.integers(0, 4000)),
    st.data(),
)
def test_only_missing_pieces_of_the_file_are_wished_for(
    length: int, piece_length: int, first: int, there: set[int], data: st.DataObject
) -> None:
    track = TrackPieces(first, piece_length, length)
    position = data.draw(st.integers(0, length))
    wish = wishes(track, position, there, TUNING)
    last = first + max(0, length - 1) // piece_length
    assert set(wish.near) <= set(wish.ahead)
    assert not set(wish.ahead) & there
    for piece in wish.ahead:
        assert track.piece_at(position) <= piece <= last
    assert 0 <= wish.there_bytes <= length - position
    if wish.ahead and wish.there_bytes:
        assert track.start_of(wish.ahead[0]) == position + wish.there_bytes
