"""Which file a listener means, and what comes after it."""

import pytest

from client_lib.download.listening.order import find_track, listening_order, played_from
from client_lib.errors import UsageError

PATHS = ("CD 2/1 x.flac", "10 b.FLAC", "2 a.flac", "cover.jpg", "CD 10/1.flac", "notes.txt", "7")


def test_numbers_in_names_count_as_numbers() -> None:
    assert [PATHS[i] for i in listening_order(PATHS)] == [
        "2 a.flac",
        "10 b.FLAC",
        "CD 2/1 x.flac",
        "CD 10/1.flac",
    ]


def test_a_track_is_a_number_a_path_or_a_pattern() -> None:
    assert find_track("album", "1", PATHS) == 2
    assert find_track("album", "cd 2/1 X.flac", PATHS) == 0
    assert find_track("album", "*.jpg", PATHS) == 3
    assert find_track("album", "7", PATHS) == 6  # a file of that name


@pytest.mark.parametrize("track", ["0", "5", "99999999999999999999", "*.flac", "nothing", ""])
def test_what_is_no_single_file_is_refused(track: str) -> None:
    with pytest.raises(UsageError, match=r"^album: "):
        find_track("album", track, PATHS)


def test_what_was_before_the_first_comes_last() -> None:
    assert played_from("album", "3", PATHS) == [0, 4, 2, 1]
    assert played_from("album", "cover.jpg", PATHS) == [3, 2, 1, 0, 4]
