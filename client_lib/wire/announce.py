"""Announces: what a peer tells its tracker, and the peers it is told (BEP 3, 7, 23, 24, 31).

The request is the query string of `GET /announce/<id>?…`, the response a bencoded dictionary
with compact peer lists. `docs/protocol/announce.md` has examples of all of them.
"""

import enum
import ipaddress
import re
from binascii import a2b_qp
from dataclasses import dataclass
from typing import Literal, NewType
from urllib.parse import quote_from_bytes

import msgspec

from client_lib.errors import AnnounceError, AnnounceRefused, BencodeError
from client_lib.wire import bencode
from client_lib.wire.infohash import TruncatedInfoHash

PeerId = NewType("PeerId", bytes)
"""20 bytes that a client picks for itself (BEP 20)."""

ENTRY_BYTES_V4 = 6
"""Compact entry (BEP 23): 4 bytes of address, 2 of port, big-endian."""
ENTRY_BYTES_V6 = 18
"""Compact entry (BEP 7): 16 bytes of address, 2 of port, big-endian."""

MAX_QUERY_BYTES = 4_096  # libtorrent's are 300-400
MAX_RESPONSE_BYTES = 1 << 20  # what libtorrent accepts (tracker_maximum_response_length)
MAX_KEY_BYTES = 64
MAX_REASON_CHARACTERS = 500
NO_SOURCE = "no-source: "
"""How the failure reason of an admitted announce begins that found nobody: wait, and come back."""
MAX_RETRY_MINUTES = 60 * 24 * 365
_MAX_INT = 2**63 - 1  # as in bencode.py: what a signed 64-bit integer holds

Retry = int | Literal["never"] | None
"""BEP 31: minutes until the next attempt makes sense, never, or nothing said."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Event(enum.Enum):
    """Why a client announces (BEP 3). Events that we do not know count as the regular one."""

    REGULAR = b""
    STARTED = b"started"
    STOPPED = b"stopped"
    COMPLETED = b"completed"


_EVENTS = {event.value: event for event in Event}
_REGULAR = Event.REGULAR  # as a global name 0.01 µs, as the attribute of its class 0.13
_KNOWN = frozenset(
    b"info_hash peer_id port uploaded downloaded left event numwant key compact".split()
)
_HEX = "0123456789abcdefABCDEF"
_ESCAPES = {(a + b).encode(): bytes.fromhex(a + b) for a in _HEX for b in _HEX}
_COUNT = rb"(0|[1-9][0-9]{0,17})"
_BYTES = rb"([\w%.~!*()'-]*[\w.~!*()'-])"  # a `%` at the end would be lost on a2b_qp
_AS_LIBTORRENT_WRITES = re.compile(
    b"info_hash=%b&peer_id=%b&port=([1-9][0-9]{0,4})" % (_BYTES, _BYTES)
    + b"&uploaded=%b&downloaded=%b&left=%b" % (_COUNT, _COUNT, _COUNT)
    + rb"(?:&corrupt=[0-9]+)?&key=(\w{1,64})(?:&event=(\w+))?&numwant=(0|[1-9][0-9]{0,8})"
    rb"&compact=1(?:&(?:no_peer_id|supportcrypto|redundant)=[0-9]+)*"
)


class AnnounceRequest(msgspec.Struct, frozen=True, gc=False):
    """One announce. The peer's address is the connection's, never what a query says.

    `numwant` and `key` are None where the client did not say; `compact` is what it asked for, the
    answer is compact all the same (BEP 23 leaves that to the tracker). Raises AnnounceError.

    A Struct, because every announce makes one: 0.5 µs with the checks, a dataclass takes 2.
    """

    info_hash: TruncatedInfoHash
    peer_id: PeerId
    port: int
    uploaded_bytes: int
    downloaded_bytes: int
    left_bytes: int
    event: Event = Event.REGULAR
    numwant: int | None = None
    key: bytes | None = None
    compact: bool = True

    def __post_init__(self) -> None:
        """Refuse what no client can mean."""
        if len(self.info_hash) != 20:
            raise AnnounceError("info_hash is 20 bytes")
        if len(self.peer_id) != 20:
            raise AnnounceError("peer_id is 20 bytes")
        if not 1 <= self.port <= 65_535:
            raise AnnounceError("port is from 1 to 65535")
        if not (
            0 <= self.uploaded_bytes <= _MAX_INT
            and 0 <= self.downloaded_bytes <= _MAX_INT
            and 0 <= self.left_bytes <= _MAX_INT
        ):
            raise AnnounceError("uploaded, downloaded and left are from 0 to 2^63-1")
        if self.numwant is not None and not 0 <= self.numwant <= _MAX_INT:
            raise AnnounceError("numwant is 0 or more")
        if self.key is not None and not 1 <= len(self.key) <= MAX_KEY_BYTES:
            raise AnnounceError(f"key is from 1 to {MAX_KEY_BYTES} bytes")

    @classmethod
    def from_query(cls, raw: bytes) -> "AnnounceRequest":
        """Parse a query string (without `?`). Parameters that we do not know are ignored.

        Raises AnnounceError for a missing, repeated or malformed one.
        """
        if len(raw) > MAX_QUERY_BYTES:
            raise AnnounceError(f"query of more than {MAX_QUERY_BYTES} bytes")
        usual = _AS_LIBTORRENT_WRITES.fullmatch(raw)
        if usual is None:
            return cls._from_parameters(raw)
        # One match instead of a dictionary of parameters: 3 µs against 10 (parse_qs alone: 11).
        info_hash, peer_id, port, uploaded, downloaded, left, key, event, numwant = usual.groups()
        # Quoted-printable is percent-encoding with another sign, and its decoder is in C: 0.3 µs
        # against 4. What has no escape stays as it is; what is malformed is 20 bytes no more.
        wanted = a2b_qp(info_hash.replace(b"%", b"="))
        own_id = a2b_qp(peer_id.replace(b"%", b"="))
        if b"=" in wanted or b"=" in own_id:  # an escaped "=", or a malformed escape
            wanted, own_id = unescaped(info_hash, "info_hash"), unescaped(peer_id, "peer_id")
        return cls(
            TruncatedInfoHash(wanted),
            PeerId(own_id),
            int(port),
            int(uploaded),
            int(downloaded),
            int(left),
            _REGULAR if event is None else _EVENTS.get(event, _REGULAR),
            int(numwant),
            key,
        )

    @classmethod
    def _from_parameters(cls, raw: bytes) -> "AnnounceRequest":
        """Parse parameters in any order."""
        values: dict[bytes, bytes] = {}
        for parameter in raw.split(b"&"):
            name, _, value = parameter.partition(b"=")
            if name in _KNOWN:
                if name in values:
                    raise AnnounceError(f"{name.decode()} given twice")
                values[name] = value
        numwant = values.get(b"numwant")
        key = values.get(b"key")
        return cls(
            info_hash=TruncatedInfoHash(_unquoted(values, b"info_hash")),
            peer_id=PeerId(_unquoted(values, b"peer_id")),
            port=_number(values, b"port"),
            uploaded_bytes=_number(values, b"uploaded"),
            downloaded_bytes=_number(values, b"downloaded"),
            left_bytes=_number(values, b"left"),
            event=_EVENTS.get(values.get(b"event", b""), Event.REGULAR),
            # Some clients say -1 for "as you like".
            numwant=None if numwant in (None, b"", b"-1") else _number(values, b"numwant"),
            key=None if not key else _unquoted(values, b"key"),
            compact=values.get(b"compact") != b"0",
        )

    def to_query(self) -> bytes:
        """Write the query string, in the order that libtorrent keeps."""
        parameters: list[tuple[str, str]] = [
            ("info_hash", quote_from_bytes(self.info_hash, safe="")),
            ("peer_id", quote_from_bytes(self.peer_id, safe="")),
            ("port", str(self.port)),
            ("uploaded", str(self.uploaded_bytes)),
            ("downloaded", str(self.downloaded_bytes)),
            ("left", str(self.left_bytes)),
        ]
        if self.key is not None:
            parameters.append(("key", quote_from_bytes(self.key, safe="")))
        if self.event is not Event.REGULAR:
            parameters.append(("event", self.event.value.decode()))
        if self.numwant is not None:
            parameters.append(("numwant", str(self.numwant)))
        parameters.append(("compact", str(int(self.compact))))
        return "&".join(f"{name}={value}" for name, value in parameters).encode()


def unescaped(value: bytes, name: str) -> bytes:
    """Undo percent-encoding. `+` stands for itself: this is a URI, not a form."""
    if b"%" not in value:
        return value
    first, *escaped = value.split(b"%")
    try:
        return first + b"".join([_ESCAPES[part[:2]] + part[2:] for part in escaped])
    except KeyError:
        raise AnnounceError(f"{name} is badly percent-encoded") from None


def _unquoted(values: dict[bytes, bytes], name: bytes) -> bytes:
    value = values.get(name)
    if value is None:
        raise AnnounceError(f"{name.decode()} is missing")
    return unescaped(value, name.decode())


def _number(values: dict[bytes, bytes], name: bytes) -> int:
    digits = values.get(name)
    if digits is None:
        raise AnnounceError(f"{name.decode()} is missing")
    # bytes.isdigit knows ASCII digits only; the length bounds the work of int().
    if not digits.isdigit() or len(digits) > 19 or (len(digits) > 1 and digits[0] == 0x30):
        raise AnnounceError(f"{name.decode()} is not a decimal number")
    return int(digits)


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a peer listens. Raises AnnounceError for a port that is none."""

    address: Address
    port: int

    def __post_init__(self) -> None:
        """Check the port."""
        if not 1 <= self.port <= 65_535:
            raise AnnounceError("a peer's port is from 1 to 65535")

    @property
    def compact(self) -> bytes:
        """6 bytes (IPv4, BEP 23) or 18 (IPv6, BEP 7)."""
        return self.address.packed + self.port.to_bytes(2, "big")

    @classmethod
    def from_compact(cls, entry: bytes) -> "Peer":
        """Parse one compact entry; its length tells the family."""
        if len(entry) not in (ENTRY_BYTES_V4, ENTRY_BYTES_V6):
            raise AnnounceError("a compact peer is 6 or 18 bytes")
        return cls(ipaddress.ip_address(entry[:-2]), int.from_bytes(entry[-2:], "big"))


@dataclass(frozen=True, slots=True)
class AnnounceResponse:
    """The answer to an admitted announce.

    `complete` and `incomplete` count the swarm's peers with and without the whole album;
    `external_address` is the asker as the tracker sees it (BEP 24).
    """

    interval_s: int
    min_interval_s: int
    complete: int
    incomplete: int
    peers: tuple[Peer, ...]
    external_address: Address | None = None

    def encode(self) -> bytes:
        """Bencode, with compact `peers` (IPv4) and `peers6` (IPv6)."""
        address = self.external_address.packed if self.external_address else b""
        form = ResponseForm(
            complete=self.complete, incomplete=self.incomplete, address_bytes=len(address)
        )
        return form.filled(
            encoded_pace(self.interval_s, self.min_interval_s),
            address,
            b"".join(p.compact for p in self.peers if p.address.version == 4),
            b"".join(p.compact for p in self.peers if p.address.version == 6),
        )

    @classmethod
    def decode(cls, data: bytes) -> "AnnounceResponse":
        """Parse a tracker's answer.

        Raises AnnounceRefused for a failure reason and AnnounceError for garbage.
        """
        answer = _dictionary(data)
        if b"failure reason" in answer:
            raise _refusal(answer)
        address = answer.get(b"external ip")
        if address is not None and not (isinstance(address, bytes) and len(address) in (4, 16)):
            raise AnnounceError("external ip is not 4 or 16 bytes")
        interval_s = _count(answer, b"interval", None)
        return cls(
            interval_s=interval_s,
            min_interval_s=_count(answer, b"min interval", interval_s),
            complete=_count(answer, b"complete", 0),
            incomplete=_count(answer, b"incomplete", 0),
            peers=_peers(answer, b"peers", ENTRY_BYTES_V4)
            + _peers(answer, b"peers6", ENTRY_BYTES_V6),
            external_address=None if address is None else ipaddress.ip_address(address),
        )


class ResponseForm:
    """A bencoded answer with room for what differs between the peers of one swarm.

    The tracker's hot path: 0.4 µs an answer, and peer lists are compact already. Keys in sorted
    order, as BEP 3 asks. An empty `peers6` is left out, `peers` never is: a client that finds
    neither could take the answer for an error.
    """

    __slots__ = ("_middle", "_opening")

    def __init__(self, *, complete: int, incomplete: int, address_bytes: int) -> None:
        """Write the swarm's counts; `address_bytes` is the length of the asker's packed address."""
        external = b"11:external ip%d:" % address_bytes if address_bytes else b""
        self._opening = b"d8:completei%de%b" % (complete, external)
        self._middle = b"10:incompletei%de" % incomplete

    def filled(self, pace: bytes, address: bytes, peers: bytes, peers6: bytes) -> bytes:
        """Write one answer, for the asker at a packed address (BEP 24). `pace`: `encoded_pace`."""
        if peers6:
            return b"%b%b%b%b%d:%b6:peers6%d:%be" % (
                self._opening,
                address,
                self._middle,
                pace,
                len(peers),
                peers,
                len(peers6),
                peers6,
            )
        return b"%b%b%b%b%d:%be" % (
            self._opening,
            address,
            self._middle,
            pace,
            len(peers),
            peers,
        )


def encoded_pace(interval_s: int, min_interval_s: int) -> bytes:
    """When to come again, as `ResponseForm.filled` takes it."""
    return b"8:intervali%de12:min intervali%de5:peers" % (interval_s, min_interval_s)


@dataclass(frozen=True, slots=True)
class AnnounceFailure:
    """The answer to a refused announce: a sentence for a person, and when to ask again.

    `interval_s` says that to libtorrent, which does not know BEP 31: after a failure without
    `interval` it comes back after 1800 s.
    """

    reason: str
    retry_in: Retry = None
    interval_s: int | None = None

    def __post_init__(self) -> None:
        """Refuse an empty reason and a time that BEP 31 cannot say."""
        if not self.reason:
            raise AnnounceError("a failure needs a reason")
        if isinstance(self.retry_in, int) and not 1 <= self.retry_in <= MAX_RETRY_MINUTES:
            raise AnnounceError("retry in is from 1 minute to a year")
        if self.interval_s is not None and not 1 <= self.interval_s <= 60 * MAX_RETRY_MINUTES:
            raise AnnounceError("an interval is from 1 second to a year")

    def encode(self) -> bytes:
        """Bencode `failure reason` and, if known, `interval` and `retry in` (BEP 31)."""
        answer: dict[bytes, bencode.Bencodable] = {
            b"failure reason": self.reason[:MAX_REASON_CHARACTERS].encode()
        }
        if self.interval_s is not None:
            answer[b"interval"] = self.interval_s
        if self.retry_in is not None:
            answer[b"retry in"] = b"never" if self.retry_in == "never" else self.retry_in
        return bencode.encode(answer)


def _dictionary(data: bytes) -> "dict[bytes, bencode.Decoded]":
    try:
        answer = bencode.decode(data, max_depth=8, max_bytes=MAX_RESPONSE_BYTES)
    except BencodeError as error:
        raise AnnounceError(f"not a tracker's answer: {error}") from error
    if not isinstance(answer, dict):
        raise AnnounceError("not a tracker's answer: no dictionary")
    return answer


def _refusal(answer: "dict[bytes, bencode.Decoded]") -> AnnounceRefused:
    reason = answer[b"failure reason"]
    if not isinstance(reason, bytes):
        raise AnnounceError("failure reason is not text")
    text = reason[: 4 * MAX_REASON_CHARACTERS].decode(errors="replace")[:MAX_REASON_CHARACTERS]
    # It ends up on terminals: no escape sequences, no line breaks.
    printable = "".join(character if character.isprintable() else "?" for character in text)
    match answer.get(b"retry in"):
        case None | b"never":
            return AnnounceRefused(printable, None)
        case int(minutes) if 0 <= minutes <= MAX_RETRY_MINUTES:
            return AnnounceRefused(printable, 60 * minutes)
        case _:
            raise AnnounceError("retry in is neither minutes nor never")


def _count(answer: "dict[bytes, bencode.Decoded]", name: bytes, absent: int | None) -> int:
    value = answer.get(name, absent)
    if not isinstance(value, int) or value < 0:
        raise AnnounceError(f"{name.decode()} is missing or not a count")
    return value


def _peers(
    answer: "dict[bytes, bencode.Decoded]", name: bytes, entry_bytes: int
) -> tuple[Peer, ...]:
    entries = answer.get(name, b"")
    if not isinstance(entries, bytes) or len(entries) % entry_bytes:
        raise AnnounceError(f"{name.decode()} is not a compact list (BEP 23, BEP 7)")
    return tuple(
        Peer.from_compact(entries[start : start + entry_bytes])
        for start in range(0, len(entries), entry_bytes)
    )
