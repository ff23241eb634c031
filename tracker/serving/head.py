"""Heads of HTTP requests: the small, strict part of RFC 9112 that an announce needs."""

import re
from dataclasses import dataclass

from client_lib.errors import WireError

MAX_HEAD_BYTES = 8_192

# A space may not be in a target, nor may control characters or anything beyond ASCII (RFC 3986).
_GET = re.compile(rb"GET (/[!->@-~]*)(?:\?([!-~]*))? HTTP/1\.([01])\r\n")
_OTHER_METHOD = re.compile(rb"(?!GET )[A-Z]{1,16} [!-~]+ HTTP/1\.[01]\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*")
_TELLING = re.compile(
    rb"^(host|connection|content-length|transfer-encoding):[ \t]*([^\r]*?)[ \t]*\r$", re.I | re.M
)
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
}


class HeadRefused(WireError):
    """Not a request that we answer; `status` is the HTTP status to say so."""

    def __init__(self, status: int, message: str) -> None:
        """Take the status and the sentence that becomes the body."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A GET request: path and query as sent, not percent-decoded. `length_bytes` of the head."""

    path: bytes
    query: bytes
    keep_alive: bool
    length_bytes: int


def parse_head(received: bytearray, *, scanned_bytes: int = 0) -> Head | None:
    """Parse the head at the beginning of `received`; None if it is not all there yet.

    `scanned_bytes` had no end of a head when they were looked at before. Bodies are refused, so
    what follows the head is the next request. Raises HeadRefused.
    """
    end = received.find(b"\r\n\r\n", max(0, scanned_bytes - 3), MAX_HEAD_BYTES)
    if end < 0:
        if len(received) >= MAX_HEAD_BYTES:
            raise HeadRefused(431, f"the request head is longer than {MAX_HEAD_BYTES} bytes")
        return None
    head = bytes(received[: end + 2])
    line = _GET.match(head)
    if line is None:
        if _OTHER_METHOD.match(head):
            raise HeadRefused(405, "only GET is answered here")
        raise HeadRefused(400, "not an HTTP/1.1 request")
    if not _FIELDS.fullmatch(head, line.end()):
        raise HeadRefused(400, "malformed header fields")
    minor = line[3]
    keep_alive = _persistent(head[line.end() :], http_1_1=minor == b"1")
    return Head(line[1], line[2] or b"", keep_alive, end + 4)


def _persistent(fields: bytes, *, http_1_1: bool) -> bool:
    """Whether the connection stays open (RFC 9112, section 9.3). Refuses what announces no GET."""
    hosts = 0
    keep_alive = http_1_1
    for name, value in _TELLING.findall(fields):
        match name.lower():
            case b"host":
                hosts += 1
            case b"connection":
                options = {option.strip().lower() for option in value.split(b",")}
                keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
            case b"content-length" if value == b"0":
                pass
            case _:
                raise HeadRefused(400, "a GET request has no body here")
    if hosts > 1 or (http_1_1 and not hosts):
        raise HeadRefused(400, "exactly one Host field is needed")
    return keep_alive


def http_response(status: int, body: bytes, *, keep_alive: bool) -> bytes:
    """Write a whole response; its body is bencoding or one line of plain text."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        _REASONS[status],
        len(body),
        b"Allow: GET\r\n" if status == 405 else b"",
        b"" if keep_alive else b"Connection: close\r\n",
        body,
    )
