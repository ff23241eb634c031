"""What a request is answered with (RFC 9110): status, headers, and which bytes. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from client_lib.wire.file_tree import TorrentFile
from seeder.web_seed.conditions import is_same, matches
from seeder.web_seed.ranges import Span, UnsatisfiableRange, parse_range

Part = bytes | Span
"""Bytes as they are, or a span of the file."""

_TYPE = b"application/octet-stream"
_EMPTY_TAG = '"empty"'


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without the connection's own headers."""

    status: HTTPStatus
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def length_bytes(self) -> int:
        """Of the body."""
        return sum(_length(part) for part in self.parts)


def refusal(status: HTTPStatus, why: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer in a sentence."""
    return Answer(status, ((b"content-type", b"text/plain"), *headers), (why.encode() + b"\n",))


def entity_tag(file: TorrentFile) -> str:
    """The root of the file's hash tree (BEP 52): other bytes, another tag."""
    return f'"{file.pieces_root.hex()}"' if file.pieces_root is not None else _EMPTY_TAG


def answer_for(
    file: TorrentFile, headers: Mapping[str, str], *, whole: bool, boundary: Callable[[], str]
) -> Answer:
    """Answer a GET, or a HEAD, for which ranges mean nothing: then `whole`.

    `headers` by lowercase name; `boundary` makes a random one for multipart/byteranges.
    """
    etag, size = entity_tag(file), file.length_bytes
    if (if_match := headers.get("if-match")) is not None and not matches(
        if_match, etag, weak=False
    ):
        return refusal(HTTPStatus.PRECONDITION_FAILED, "the file is another one")
    # What never changes may be kept for ever; by the customer alone, who alone may have it.
    common = (
        (b"etag", etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, max-age=31536000, immutable"),
    )
    if matches(headers.get("if-none-match", ""), etag, weak=True):
        return Answer(HTTPStatus.NOT_MODIFIED, common)
    spans: tuple[Span, ...] = ()
    if not whole and is_same(headers.get("if-range", etag), etag):
        try:
            spans = parse_range(headers.get("range", ""), size)
        except UnsatisfiableRange:
            return refusal(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"the file has {size} bytes; at most 16 ranges of it, hardly overlapping",
                (b"content-range", b"bytes */%d" % size),
            )
    content_type = (b"content-type", _TYPE)
    if not spans:
        parts = (Span(0, size),) if size else ()
        return Answer(HTTPStatus.OK, (*common, content_type), parts)
    if len(spans) == 1:
        headers_ = (*common, content_type, (b"content-range", _content_range(spans[0], size)))
        return Answer(HTTPStatus.PARTIAL_CONTENT, headers_, spans)
    return _multipart(spans, size, common, boundary())


def _multipart(
    spans: tuple[Span, ...], size: int, common: tuple[tuple[bytes, bytes], ...], boundary: str
) -> Answer:
    """multipart/byteranges (RFC 9110, section 14.6)."""
    parts: list[Part] = []
    delimiter = b"--" + boundary.encode()
    for span in spans:
        head = b"content-type: %s\r\ncontent-range: %s" % (_TYPE, _content_range(span, size))
        parts.append(b"\r\n" * bool(parts) + delimiter + b"\r\n" + head + b"\r\n\r\n")
        parts.append(span)
    parts.append(b"\r\n" + delimiter + b"--\r\n")
    content_type = f"multipart/byteranges; boundary={boundary}".encode()
    headers = (*common, (b"content-type", content_type))
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, tuple(parts))


def _content_range(span: Span, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (span.begin, span.end - 1, size)


def _length(part: Part) -> int:
    return part.length if isinstance(part, Span) else len(part)
