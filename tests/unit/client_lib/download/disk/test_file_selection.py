"""Chosen files: by path before pattern, and never none."""

import pytest

from client_lib.download.disk.file_selection import wanted_files
from client_lib.errors import UsageError

PATHS = ("01 A [live].flac", "01 A l.flac", "CD 2/02.FLAC", "cover.jpg")


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        ((), {0, 1, 2, 3}),
        (("*",), {0, 1, 2, 3}),
        (("*.flac",), {0, 1, 2}),
        (("cd 2/*",), {2}),
        (("01 A [live].flac",), {0}),
        (("01 A [l].flac",), {1}),
        (("cover.jpg", "CD 2/02.flac", "cover.jpg"), {2, 3}),
    ],
)
def test_selection(selection: tuple[str, ...], wanted: set[int]) -> None:
    assert wanted_files("rel", selection, PATHS) == wanted


def test_what_fits_nothing_is_told_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"rel: no file fits '\*.wav'; it has '01 A \[live\]"):
        wanted_files("rel", ["*.flac", "*.wav"], PATHS)
