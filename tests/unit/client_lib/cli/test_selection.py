"""Which licences a person means."""

import pytest

from client_lib.cli.selection import select, title
from client_lib.errors import UsageError
from tests.unit.client_lib.download.licences import licence

FLAC, MP3 = licence("rel-1.flac", number=1), licence("rel-1.mp3-320", number=2)
OTHER = licence("rel-2.flac", number=3, artist="A\x1b[31m\u202eB", title="T\nU")
AGAIN = licence("rel-2.flac", number=4)
ALL = [FLAC, MP3, OTHER, AGAIN]


def test_names_of_every_kind_are_understood_in_the_order_given() -> None:
    assert select(ALL, ["rel-1.mp3-320", FLAC.licence_id]) == [MP3, FLAC]
    assert select([FLAC, OTHER], ["rel-2", "rel-2.flac", "rel-1"]) == [OTHER, FLAC]


def test_release_bought_twice_is_fetched_once() -> None:
    assert select(ALL, ["rel-2"]) == [OTHER]
    assert select(ALL, [AGAIN.licence_id]) == [AGAIN]


def test_name_that_means_nothing_or_several_is_refused() -> None:
    with pytest.raises(UsageError, match="no licence for 'rel-9'"):
        select(ALL, ["rel-1.flac", "rel-9"])
    with pytest.raises(UsageError, match=r"several formats: rel-1\.flac, rel-1\.mp3-320"):
        select(ALL, ["rel-1"])
    with pytest.raises(UsageError):
        select([], [""])


def test_title_steers_no_terminal() -> None:
    assert title(OTHER) == "A\ufffd[31m\ufffdB - T\ufffdU"
