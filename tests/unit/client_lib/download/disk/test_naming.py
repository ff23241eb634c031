"""Names on disk: legal everywhere, told apart everywhere, and the same every time."""

import itertools
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client_lib.download.disk.naming import comparable, format_label, local_paths, safe_name
from client_lib.wire.release import AudioFormat

# Characters that file systems treat in their own ways, more often than chance would bring them.
characters = st.one_of(
    st.characters(exclude_categories=()),
    st.sampled_from('aAßẞſsSiİıfﬁé\u0301\u0323ΑΣσςǅ℀. /\\:*?"<>|~\x00\x1f\x7f\u202e\u200b\ufeff²¹'),
)
names = st.text(characters, max_size=12) | st.text(characters, min_size=60, max_size=300)
hostile = st.sampled_from(
    ["", ".", "..", " ", "CON", "con.txt", "nul ", "aux .flac", "COM¹.x", "CONIN$", "lpt0", "...",
     "a.", "a ", ".hidden", "x" * 300 + ".flac", "é" * 300, "🎵" * 100 + ".flac", "a" * 179 + "é"]
)  # fmt: skip
WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?")


def safe_everywhere(name: str) -> None:
    """Rules of the three systems, as their vendors give them."""
    assert name not in ("", ".", "..")
    assert not set(name) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
    assert name[-1] not in ". "
    assert not WINDOWS_DEVICE.fullmatch(name)
    assert len(name.encode()) <= 255  # ext4, XFS
    assert len(name.encode("utf-16-le")) // 2 <= 255  # NTFS
    assert len(unicodedata.normalize("NFD", name).encode("utf-16-le")) // 2 <= 255  # HFS+
    assert not name.startswith(".")


def one_to_a_file_system(path: str) -> set[str]:
    """What file systems without case, or with normalisation, may make of a path."""
    forms: set[str] = set()
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        normal = unicodedata.normalize(form, path)
        forms.add(unicodedata.normalize("NFKC", normal.casefold()))
    return forms


@given(names | hostile)
@example("con .txt")
@example("e\u200b\u0301")
def test_safe_name_is_safe_everywhere_and_final(text: str) -> None:
    name = safe_name(text)
    safe_everywhere(name)
    assert unicodedata.is_normalized("NFC", name)
    assert safe_name(name) == name


paths = st.lists(
    st.lists(names | hostile, min_size=1, max_size=3).map(tuple), max_size=12, unique=True
)


@given(paths)
@example([("ß\u0323",), ("sṣ",)])
@example([("a", "x"), ("A",), ("a (2)",)])
@example([("℀",), ("a", "c")])
@example([("ﬁ.flac",), ("FI.flac",), ("fi.FLAC",)])
def test_no_two_files_share_a_path_on_any_system(files: list[tuple[str, ...]]) -> None:
    # A torrent never has a file where it has a folder (`parse_file_tree`).
    folders = {file[:depth] for file in files for depth in range(1, len(file))}
    files = [file for file in files if file not in folders]
    local = local_paths(files)
    assert local == local_paths(files), "a later run must find the files again"
    seen: set[str] = set()
    for path, file in zip(local, files, strict=True):
        parts = path.split("/")
        assert len(parts) == len(file)
        for part in parts:
            safe_everywhere(part)
        forms = one_to_a_file_system(path)
        assert not forms & seen
        seen |= forms
    # Nor is a file where another one's folder is.
    parents = {path.rpartition("/")[0] for path in local} - {""}
    assert not parents & set(local)


def test_files_of_a_folder_stay_together() -> None:
    assert local_paths([("CD 1", "a"), ("cd 1", "b"), ("CD 1", "c")]) == (
        "CD 1/a",
        "cd 1 (2)/b",
        "CD 1/c",
    )


def test_ordinary_names_stay_as_they_are() -> None:
    names = ("01 Überraschung – “Live”.flac", "02 日本語.flac", "cover (1).jpg", "¿Qué? no.flac")
    assert local_paths([(name,) for name in names])[:3] == names[:3]
    assert safe_name("AC/DC: Live?") == "AC_DC_ Live_"
    assert safe_name("...And Justice for All") == "_..And Justice for All"


def test_long_names_keep_their_extension() -> None:
    name = safe_name("é" * 300 + ".flac")
    assert name.endswith("é.flac")
    assert len(name.encode()) <= 180


@pytest.mark.parametrize(
    ("audio_format", "label"),
    [("flac-24-96", "FLAC 24-96"), ("mp3-320", "MP3 320"), ("dsd", "DSD")],
)
def test_format_as_people_write_it(audio_format: str, label: str) -> None:
    assert format_label(AudioFormat(audio_format)) == label


def test_many_names_that_become_one_are_numbered_without_counting_from_the_beginning() -> None:
    names = ["".join(pair) + ".flac" for pair in itertools.product('<>:"|?*', repeat=4)]
    comparable.cache_clear()
    local = local_paths([(name,) for name in names])
    asked = comparable.cache_info()
    assert local[:3] == ("____.flac", "____ (2).flac", "____ (3).flac")
    assert local[-1] == f"____ ({len(names)}).flac"
    assert asked.hits + asked.misses < 6 * len(names)
