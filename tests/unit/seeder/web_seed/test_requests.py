"""What a request is for: ranges, conditions and paths, from anybody."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.file_tree import TorrentFile
from seeder.web_seed.answer import answer_for, entity_tag
from seeder.web_seed.conditions import is_same, matches
from seeder.web_seed.paths import Target, parse_target
from seeder.web_seed.ranges import MOST_RANGES, Span, UnsatisfiableRange, parse_range

SIZE = 1_000
FILE = TorrentFile(("01.flac",), SIZE, bytes(range(32)))


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 500)]),
        ("BYTES=500-999", [(500, 500)]),
        ("bytes=500-5000", [(500, 500)]),
        ("bytes=500-", [(500, 500)]),
        ("bytes=-500", [(500, 500)]),
        ("bytes=-5000", [(0, 1_000)]),
        ("bytes=0-0,-1", [(0, 1), (999, 1)]),
        ("bytes=0-0 ,\t, 5-6,", [(0, 1), (5, 2)]),
        ("bytes=0-0,1000-", [(0, 1)]),  # RFC 9110, section 14.2: at least one is satisfiable
        ("bytes=0-9,5-14,10-19", [(0, 10), (5, 10), (10, 10)]),
    ],
)
def test_ranges_are_read(header: str, spans: list[tuple[int, int]]) -> None:
    assert parse_range(header, SIZE) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes", "bytes=", "bytes=,", "bytes=a-b", "bytes=-", "bytes=--1", "bytes=1"),
        *("bytes=5-4", "items=0-1", "bytes=0-1;", "bytes=+1-2", "bytes=٠-١", "bytes 0-1"),
        "bytes=0-" + "9" * 5_000,
    ],
)
def test_what_is_no_range_asks_for_the_whole_file(header: str) -> None:
    assert parse_range(header, SIZE) == ()


@pytest.mark.parametrize(
    "header",
    [
        "bytes=1000-",
        "bytes=-0",
        "bytes=0-,0-,0-,0-",
        "bytes=0-9,0-9,0-9,0-9",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(MOST_RANGES + 1)),
        "bytes=" + "0-," * 10_000,
    ],
)
def test_floods_and_what_lies_outside_are_refused(header: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, SIZE)


@given(st.text(max_size=60) | st.from_regex(r"bytes=([0-9,\- ]{0,40})"), st.integers(0, 2_000))
def test_spans_always_lie_in_the_file_and_hardly_repeat_it(text: str, size: int) -> None:
    try:
        spans = parse_range(text, size)
    except UnsatisfiableRange:
        return
    assert len(spans) <= MOST_RANGES
    assert all(0 <= span.begin < span.end <= size for span in spans)
    assert sum(span.length for span in spans) <= 3 * size


@given(st.text("bytes=0123456789-, ", max_size=40), st.booleans())
def test_the_length_that_is_told_is_the_length_that_is_sent(header: str, whole: bool) -> None:
    answer = answer_for(FILE, {"range": header}, whole=whole, boundary=lambda: "b" * 32)
    sent = sum(part.length if isinstance(part, Span) else len(part) for part in answer.parts)
    assert answer.length_bytes == sent
    assert answer.status in (200, 206, 416)


def test_entity_tags_are_compared_strongly_or_weakly() -> None:
    tag = entity_tag(FILE)
    assert matches(f'"x", {tag}', tag, weak=False)
    assert matches(" * ", tag, weak=False)
    assert matches(f"W/{tag}", tag, weak=True)
    for header in (f"W/{tag}", "", tag[1:-1], f'"{tag}"', '"x'):
        assert not matches(header, tag, weak=False)
    assert is_same(f" {tag}", tag)
    for header in (f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT", "*"):
        assert not is_same(header, tag)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5), st.booleans())
def test_every_path_is_found_by_its_percent_encoding(path: list[str], shout: bool) -> None:
    names = [name.encode("utf-8", "ignore").decode() for name in path]
    encoded = "/".join(quote(name, safe="") for name in names)
    query = "?" + "a=b" if shout else ""
    found = parse_target(f"/releases/rel-0001.flac/{encoded}{query}")
    assert found == Target(found.name, tuple(names)) if found else len(encoded) > 3_000


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_any_target_is_read_or_is_none(target: str) -> None:
    for text in (target, "/releases/" + target, "/releases/rel-0001.flac/" + target):
        found = parse_target(text)
        assert found is None or found.path
