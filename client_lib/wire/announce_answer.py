"""Answers to announces: the peers that a tracker names, or why it refuses (BEP 3, 7, 23, 24, 31).

A bencoded dictionary with compact peer lists. `docs/protocol/announce.md` has examples.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from client_lib.errors import AnnounceError, AnnounceRefused, BencodeError
from client_lib.wire import bencode

ENTRY_BYTES_V4 = 6
"""Compact entry (BEP 23): 4 bytes of address, 2 of port, big-endian."""
ENTRY_BYTES_V6 = 18
"""Compact entry (BEP 7): 16 bytes of address, 2 of port, big-endian."""

MAX_RESPONSE_BYTES = 1 << 20  # what libtorrent accepts (tracker_maximum_response_length)
MAX_REASON_CHARACTERS = 500
MAX_RETRY_MINUTES = 60 * 24 * 365

Retry = int | Literal["never"] | None
"""BEP 31: minutes until the next attempt makes sense, never, or nothing said."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
