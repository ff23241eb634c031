"""Folders by a template: refused in a sentence, or safe everywhere, whatever the licence says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.disk.folder_template import (
    DEFAULT_FOLDER_TEMPLATE,
    FIELDS,
    MAX_FOLDER_BYTES,
    FolderTemplate,
)
from client_lib.errors import UsageError
from client_lib.wire.release import Album
from tests.unit.client_lib.download.disk.test_naming import characters, safe_everywhere
from tests.unit.client_lib.download.licences import licence


def folder(template: str, artist: str, title: str, year: int | None = 2002) -> tuple[str, ...]:
    one = msgspec.structs.replace(licence(), album=Album(artist, title, year))
    return FolderTemplate.parse(template).folder(one)


def test_default_tells_artist_album_year_and_format() -> None:
    default = DEFAULT_FOLDER_TEMPLATE
    assert folder(default, "Sigur Rós", "( )") == ("Sigur Rós", "( ) (2002) [FLAC 24-96]")
    assert folder(default, "...", "\u200b", None) == ("_", "Untitled [FLAC 24-96]")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{album}", ("Title",)),
        ("{albumartist} - {album}", ("Artist - Title",)),
        ("Music/{year} - {album}", ("Music", "Title")),
        ("{album} [{year}]", ("Title",)),
        ("{format}/{year}", ("FLAC 24-96", "Unknown")),
        ("{release_id}", ("rel-1",)),
        ("ab:c/{album}", ("ab_c", "Title")),
    ],
)
def test_fields_are_filled_and_unknown_ones_leave_no_brackets(
    template: str, expected: tuple[str, ...]
) -> None:
    assert folder(template, "Artist", "Title", None) == expected


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("/music/{album}", "must be relative"),
        ("~/{album}", "must be relative"),
        ("C:/{album}", "must be relative"),
        ("../{album}", "must not leave"),
        ("{albumartist}/ .. /{album}", "must not leave"),
        ("{albumartist}//{album}", "has no name"),
        ("{album}/", "has no name"),
        ("{artist}/{album}", "no field {artist}; there are {albumartist}"),
        ("{album.year}", "no field"),
        ("{album[0]}", "no field"),
        ("{album!r}", "no field"),
        ("{album:>99999}", "no field"),
        ("{}", "no field"),
        ("{album", "must enclose"),
        ("album}", "must enclose"),
        ("{album}\\x", "backslash"),
        ("{album}\n", "control character"),
        ("a/" * 9 + "b", "more than 8 folders"),
        ("x" * 501, "longer than 500"),
    ],
)
def test_template_that_cannot_be_is_refused_in_one_sentence(template: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        FolderTemplate.parse(template)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


texts = st.text(characters, min_size=1, max_size=300)
pieces = st.sampled_from([*(f"{{{field}}}" for field in FIELDS), *" -()[]_.x"])
templates = st.lists(
    st.lists(pieces, min_size=1, max_size=8).map("".join), min_size=1, max_size=8
).map("/".join)


@given(st.just(DEFAULT_FOLDER_TEMPLATE) | templates, texts, texts, st.none() | st.just(1999))
def test_folders_are_safe_everywhere_and_below_the_music_folder(
    template: str, artist: str, title: str, year: int | None
) -> None:
    try:
        names = folder(template, artist, title, year)
    except UsageError:
        return
    assert len(names) == template.count("/") + 1
    for name in names:
        safe_everywhere(name)
    assert len("/".join(names).encode()) <= MAX_FOLDER_BYTES
    if template == DEFAULT_FOLDER_TEMPLATE:
        assert names[1].endswith("[FLAC 24-96]"), "however long the title"
