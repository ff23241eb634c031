"""Canonical bencoding (BEP 3): one value, one spelling.

Because nothing but the canonical spelling is read, `encode(decode(data)) == data` always holds:
a hash over re-encoded bytes is the hash over the bytes that came. libtorrent's own decoder is
laxer (unsorted keys, `i-0e`, `01:a`), so what passes here means the same there.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from client_lib.errors import BencodeError

Bencodable: TypeAlias = (
    int | bytes | list[Any] | tuple["Bencodable", ...] | Mapping[bytes, "Bencodable"]
)
"""What `encode` takes. `bool` and `str` are refused at run time."""
Decoded: TypeAlias = int | bytes | list["Decoded"] | dict[bytes, "Decoded"]
"""What `decode` gives; dictionaries iterate in the order of their sorted keys."""

MAX_DEPTH = 64
MAX_BYTES = 16 << 20
MAX_VALUES = 1 << 20
"""Keys and values together: an empty dictionary is 2 bytes on the wire and 64 in memory."""
_MAX_ENCODED_DEPTH = 256  # far below the interpreter's recursion limit

# Digit runs are bounded, so that no number costs more than constant time.
_INTEGER = re.compile(rb"i(0|-?[1-9][0-9]{0,18})e")
_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,9}):")
_INT64 = range(-(1 << 63) + 1, 1 << 63)  # libtorrent reads the lowest one, -2**63, as 0


def encode(value: Bencodable) -> bytes:
    """Encode canonically, keys sorted.

    Raises BencodeError beyond signed 64 bits or 256 levels, TypeError for a type that bencoding
    has not (`bool` and `str` among them: the caller says which integer or which encoding).
    """
    parts: list[bytes] = []
    _append(value, parts, 1)
    return b"".join(parts)


def join_dictionary(entries: Mapping[bytes, bytes]) -> bytes:
    """Encode a dictionary whose values are bencoded already."""
    parts = [b"d"]
    for key in sorted(entries):
        parts += [b"%d:" % len(key), key, entries[key]]
    parts.append(b"e")
    return b"".join(parts)


def _append(value: object, parts: list[bytes], depth: int) -> None:
    if depth > _MAX_ENCODED_DEPTH:
        raise BencodeError(f"value to encode is nested deeper than {_MAX_ENCODED_DEPTH} levels")
    if isinstance(value, bytes):
        parts += [b"%d:" % len(value), value]
    elif isinstance(value, int) and not isinstance(value, bool):
        if value not in _INT64:
            raise BencodeError("integer to encode is beyond signed 64 bits")
        parts.append(b"i%de" % value)
    elif isinstance(value, (list, tuple)):
        parts.append(b"l")
        for item in value:
            _append(item, parts, depth + 1)
        parts.append(b"e")
    elif isinstance(value, Mapping):
        if not all(isinstance(key, bytes) for key in value):
            raise TypeError("keys of a bencoded dictionary are bytes")
        parts.append(b"d")
        for key in sorted(value):
            parts += [b"%d:" % len(key), key]
            _append(value[key], parts, depth + 1)
        parts.append(b"e")
    else:
        raise TypeError(f"{type(value).__name__} cannot be bencoded")


class _OpenList:
    """A list whose end has not been read."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: list[Decoded] = []

    def add(self, value: Decoded, position: int) -> None:
        self.value.append(value)

    def close(self, position: int) -> Decoded:
        return self.value


class _OpenDictionary:
    """A dictionary whose end has not been read; takes keys and values in turn."""

    __slots__ = ("awaiting", "begin", "last_key", "value")

    def __init__(self) -> None:
        self.value: dict[bytes, Decoded] = {}
        self.last_key: bytes | None = None
        self.begin = 0  # of the value behind the last key
        self.awaiting: bytes | None = None

    def add(self, value: Decoded, position: int) -> None:
        if self.awaiting is not None:
            self.value[self.awaiting] = value
            self.awaiting = None
            return
        if not isinstance(value, bytes):
            raise BencodeError(f"dictionary key before byte {position} is not a string")
        if self.last_key is not None and value <= self.last_key:
            what = "repeated" if value == self.last_key else "not in sorted order"
            raise BencodeError(f"dictionary key before byte {position} is {what}")
        self.last_key = self.awaiting = value
        self.begin = position

    def close(self, position: int) -> Decoded:
        if self.awaiting is not None:
            raise BencodeError(f"dictionary ends at byte {position} after a key without a value")
        return self.value


def decode(
    data: bytes,
    *,
    max_depth: int = MAX_DEPTH,
    max_bytes: int = MAX_BYTES,
    max_values: int = MAX_VALUES,
    raw: dict[bytes, bytes] | None = None,
) -> Decoded:
    """Decode exactly one value, using all of `data`. Raises BencodeError.

    If that is a dictionary, its values go into `raw` as they are encoded, by key.

    Linear in `len(data)` and without recursion. Refused: unsorted or repeated keys, leading
    zeros, `-0`, integers beyond signed 64 bits, more than `max_depth` nested lists and
    dictionaries, more than `max_values` keys and values, trailing bytes.
    """
    if len(data) > max_bytes:
        raise BencodeError(f"{len(data)} bytes: at most {max_bytes} are read")
    containers: list[_OpenList | _OpenDictionary] = []
    position = values = 0
    value: Decoded
    while True:
        kind = data[position : position + 1]
        if kind in (b"l", b"d"):
            if len(containers) == max_depth:
                raise BencodeError(f"nested deeper than {max_depth} levels at byte {position}")
            containers.append(_OpenList() if kind == b"l" else _OpenDictionary())
            position += 1
            continue
        if kind == b"e" and containers:
            value = containers.pop().close(position)
            position += 1
        else:
            value, position = _scalar(data, position)
        values += 1
        if values > max_values:
            raise BencodeError(f"more than {max_values} keys and values")
        if not containers:
            break
        container = containers[-1]
        container.add(value, position)
        if raw is not None and len(containers) == 1 and isinstance(container, _OpenDictionary):
            key = container.last_key
            if key is not None and container.awaiting is None:
                raw[key] = data[container.begin : position]
    if position != len(data):
        raise BencodeError(f"{len(data) - position} bytes follow the value, from byte {position}")
    return value


def _scalar(data: bytes, position: int) -> tuple[int | bytes, int]:
    """Read an integer or string at `position`; return it and the position after it."""
    if length := _LENGTH.match(data, position):
        start = length.end()
        end = start + int(length[1])
        if end > len(data):
            raise BencodeError(f"string at byte {position} is cut off")
        return data[start:end], end
    if integer := _INTEGER.match(data, position):
        number = int(integer[1])
        if number not in _INT64:
            raise BencodeError(f"integer at byte {position} is beyond signed 64 bits")
        return number, integer.end()
    if position >= len(data):
        raise BencodeError(f"cut off at byte {position}")
    raise BencodeError(f"no canonical value at byte {position}")
