"""Which bytes a request is for: `Range` (RFC 9110, section 14). Pure."""

import re
from typing import NamedTuple

MOST_RANGES = 16
"""libtorrent asks for one at a time; more than so many are a flood."""
_MOST_OVERLAPS = 2  # RFC 9110, section 14.2: what no reader needs
_MOST_DIGITS = 18
_UNIT = "bytes="
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")


class Span(NamedTuple):
    """Bytes of a file, at least one."""

    begin: int
    length: int

    @property
    def end(self) -> int:
        """The byte after the last one."""
        return self.begin + self.length


class UnsatisfiableRange(Exception):
    """No byte of the file is asked for, or too much of it several times: 416."""


def parse_range(header: str, size_bytes: int) -> tuple[Span, ...]:
    """The spans that are asked for, in the order asked; none at all for the whole file.

    A header that is no byte range is ignored, as RFC 9110 wants it. Raises UnsatisfiableRange.
    """
    unit, listed = header[: len(_UNIT)], header[len(_UNIT) :]
    if unit.lower() != _UNIT:
        return ()
    asked = [text.strip(" \t") for text in listed.split(",", MOST_RANGES + 1)]
    asked = [text for text in asked if text]
    if len(asked) > MOST_RANGES:
        raise UnsatisfiableRange
    spans = []
    for text in asked:
        match = _RANGE.fullmatch(text)
        if match is None or match[0] == "-" or max(map(len, match.groups())) > _MOST_DIGITS:
            return ()
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return ()
        if span := _span(first, last, size_bytes):
            spans.append(span)
    if not asked:
        return ()
    if not spans or _overlaps(spans) > _MOST_OVERLAPS:
        raise UnsatisfiableRange
    return tuple(spans)


def _span(first: str, last: str, size_bytes: int) -> Span | None:
    """The part of the file that a range is; None if it is empty."""
    if not first:
        length = min(int(last), size_bytes)
        return Span(size_bytes - length, length) if length else None
    begin = int(first)
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return Span(begin, end - begin) if begin < end else None


def _overlaps(spans: list[Span]) -> int:
    in_order = sorted(spans)
    furthest, overlaps = 0, 0
    for span in in_order:
        overlaps += span.begin < furthest
        furthest = max(furthest, span.end)
    return overlaps
