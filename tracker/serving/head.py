"""Heads of HTTP requests: the small, strict part of RFC 9112 that an announce needs."""

import re
from collections.abc import Callable
from typing import NamedTuple

from client_lib.errors import WireError

MAX_HEAD_BYTES = 8_192

# A space may not be in a target, nor may control characters or anything beyond ASCII (RFC 3986).
_ASKED = re.compile(rb"GET (/[!->@-~]*)(?:\?([!-~]*))?(?= )")
_OTHER_METHOD = re.compile(rb"(?!GET )[A-Z]{1,16} [!-~]+ HTTP/1\.[01]\r\n")
_VERSION = re.compile(rb" HTTP/1\.([01])\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*")
_TELLING = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"client-cert",
        b"x-forwarded-for",
    )
)
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


class HeadRefused(WireError):
    """Not a request that we answer; `status` is the HTTP status to say so."""

    def __init__(self, status: int, message: str, count_as: str = "") -> None:
        """Take the status, the sentence that becomes the body, and what to count it as."""
        super().__init__(message)
        self.status = status
        self.count_as = count_as or f"http_{status}"


class Sender(NamedTuple):
    """Who sent a request: certificate (DER) of a proven key, and address in 4 or 16 bytes."""

    certificate_der: bytes
    address: bytes


class Fields(NamedTuple):
    """What the fields of a head tell. Values are as sent; None where there is no such field."""

    keep_alive: bool
    client_cert: bytes | None
    """RFC 9440."""
    forwarded_for: bytes | None


class Head(NamedTuple):
    """A GET request: path and query as sent, not percent-decoded. `length_bytes` of the head.

    NamedTuples, because a frozen dataclass takes 1 µs more to make, and one is made per request.
    """

    path: bytes
    query: bytes
    keep_alive: bool
    length_bytes: int
    sender: Sender | None
    """As the head itself tells; None where the connection tells."""


class Heads:
    """Parses heads. What came before does not get here: see `familiar.py`."""

    def __init__(self, sender: Callable[[Fields], Sender | None]) -> None:
        """Take what tells the sender of a head; it may raise HeadRefused."""
        self._sender = sender

    def parse(self, received: bytes, start: int = 0, scanned_bytes: int = 0) -> Head | None:
        """Parse the head that begins at `start`; None if it is not all there yet.

        `scanned_bytes` had no end of a head when they were looked at before. Bodies are refused,
        so what follows the head is the next request. Raises HeadRefused.
        """
        end = received.find(b"\r\n\r\n", start + max(0, scanned_bytes - 3), start + MAX_HEAD_BYTES)
        if end < 0:
            if len(received) - start >= MAX_HEAD_BYTES:
                raise HeadRefused(431, f"the request head is longer than {MAX_HEAD_BYTES} bytes")
            return None
        asked = _ASKED.match(received, start, end)
        if asked is None:
            if _OTHER_METHOD.match(received, start):
                raise HeadRefused(405, "only GET is answered here")
            raise HeadRefused(400, "not an HTTP/1.1 request")
        path, query = asked.groups(b"")
        fields = parse_fields(received[asked.end() : end + 2])
        return Head(path, query, fields.keep_alive, end + 4 - start, self._sender(fields))


def parse_fields(rest: bytes) -> Fields:
    """Parse what follows the target of a request: version and fields. Raises HeadRefused."""
    version = _VERSION.match(rest)
    if version is None:
        raise HeadRefused(400, "not an HTTP/1.1 request")
    if not _FIELDS.fullmatch(rest, version.end()):
        raise HeadRefused(400, "malformed header fields")
    http_1_1 = version[1] == b"1"
    keep_alive = http_1_1
    hosts = 0
    told: dict[bytes, bytes] = {}
    for line in rest[version.end() : -2].split(b"\r\n"):
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name not in _TELLING:
            continue
        match name:
            case b"host":
                hosts += 1
            case b"connection":
                # RFC 9112, section 9.3
                options = {option.strip().lower() for option in value.split(b",")}
                keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
            case b"content-length" if value == b"0":
                pass
            case b"content-length" | b"transfer-encoding":
                raise HeadRefused(400, "a GET request has no body here")
            case b"x-forwarded-for" if name in told:
                told[name] += b"," + value  # RFC 9110, section 5.3: a list may be in several lines
            case _ if name in told:
                raise HeadRefused(400, "more than one client certificate")
            case _:
                told[name] = value
    if hosts > 1 or (http_1_1 and not hosts):
        raise HeadRefused(400, "exactly one Host field is needed")
    return Fields(keep_alive, told.get(b"client-cert"), told.get(b"x-forwarded-for"))


def http_response(
    status: int, body: bytes, *, keep_alive: bool, content_type: bytes = b"text/plain"
) -> bytes:
    """Write a whole response; text/plain is bencoding or one line of plain text."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        _REASONS[status],
        content_type,
        len(body),
        b"Allow: GET\r\n" if status == 405 else b"",
        b"" if keep_alive else b"Connection: close\r\n",
        body,
    )
