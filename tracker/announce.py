"""One announce, from query to answer: admission, then accounting, then handout."""

import random
from collections.abc import Callable, Collection, Iterable

from client_lib.errors import AnnounceError
from client_lib.wire.announce import (
    ENTRY_BYTES_V4,
    ENTRY_BYTES_V6,
    NO_SOURCE,
    AnnounceFailure,
    AnnounceRequest,
    Event,
    encode_response,
)
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.tally import Accounting
from tracker.swarms.handout import NOBODY, Pace, handout
from tracker.swarms.peers import Family, Standing, client_tag
from tracker.swarms.swarm import Swarm
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission, Member, NotAdmitted, Refusal, Revocations, Role

# An enumeration's member by its global name: 0.01 µs; as the attribute of its class: 0.13.
_LEECHER, _COMPLETE, _CENTRAL = Standing
_V4, _V6 = Family
_STOPPED = Event.STOPPED
_SEEDER = Role.SEEDER
_EMPTY = Swarm()

_ALONE = AnnounceFailure(
    f"{NO_SOURCE}nobody else is in this swarm yet; you are registered, come back soon",
    retry_in=1,
    interval_s=30,
).encode()
"""The answer to a leecher who is alone: see ADR 15."""


class Announcer:
    """Answers announces. One per process: it owns the swarms that it is given."""

    def __init__(
        self,
        *,
        admission: Admission,
        revocations: Revocations,
        accounting: Accounting,
        swarms: Swarms,
        pace: Pace,
        default_numwant: int,
        max_numwant: int,
        copies_wanted: int,
        rng: random.Random,
        central: Callable[[TruncatedInfoHash, int], tuple[bytes, bytes] | None] = lambda *_: None,
    ) -> None:
        """Take the hooks in the order in which they act, and the policy's numbers.

        `central` gives the compact entries (IPv4, IPv6) of the central seeders for a swarm with so
        many leechers: those in the fleet need not have announced, they serve whoever comes.
        """
        self._admission = admission
        self._revocations = revocations
        self._accounting = accounting
        self._swarms = swarms
        self._pace = pace
        self._default_numwant = default_numwant
        self._max_numwant = max_numwant
        self._copies_wanted = copies_wanted
        self._rng = rng
        self._central = central
        self.on_expelled: Callable[[TruncatedInfoHash, list[bytes]], None] | None = None
        """Told by `expel` of a swarm and of the compact entries that were removed from it."""

    def answer(
        self, certificate_der: bytes, member_id: str, query: bytes, address: bytes, now_s: float
    ) -> bytes:
        """Bencoded answer to `GET /announce/<member_id>?<query>`. A refusal is an answer, too.

        `certificate_der` came over a connection whose TLS handshake proved its key; `address` is
        the connection's, packed in 4 or 16 bytes; `now_s` is POSIX time.
        """
        try:
            member = self._admission.recognise(certificate_der)
            request = _parsed(query)
            self._admission.admit(member, member_id, request.info_hash, self._revocations, now_s)
        except NotAdmitted as refused:
            self._accounting.refused(refused.refusal)
            return refused.answer()
        self._accounting.admitted(member, request, now_s, address)
        if request.event is _STOPPED:
            return self._said_goodbye(member, request, address)
        return self._handed_out(member, request, address, now_s)

    def expel(self, serials: Collection[int]) -> None:
        """Forget the peers behind revoked certificates, so that nobody is sent to them."""
        self.expel_members(self._admission.members(serials))

    def expel_members(self, members: Iterable[Member]) -> None:
        """`expel` those whom admission does not remember: a snapshot's."""
        for member in members:
            swarms = self._swarms.info_hashes() if member.info_hash is None else [member.info_hash]
            for info_hash, entries in self._swarms.remove_owner(member.owner, swarms).items():
                if self.on_expelled is not None:
                    self.on_expelled(info_hash, entries)

    def _said_goodbye(self, member: Member, request: AnnounceRequest, address: bytes) -> bytes:
        client = client_tag(request.peer_id, request.key)
        self._swarms.remove(request.info_hash, member.owner, client, Family.of(address))
        swarm = self._swarms.get(request.info_hash) or _EMPTY
        return self._encoded(swarm, self._pace.interval_s, b"", b"", address)

    def _handed_out(
        self, member: Member, request: AnnounceRequest, address: bytes, now_s: float
    ) -> bytes:
        info_hash, owner, pace = request.info_hash, member.owner, self._pace
        if request.left_bytes:
            standing = _LEECHER
        else:
            standing = _CENTRAL if member.role is _SEEDER else _COMPLETE
        swarm = self._swarms.get(info_hash) or _EMPTY
        since_s = swarm.leeching_since_s
        interval_s = pace.interval(
            len(swarm),
            now_s if since_s is None and standing is _LEECHER else since_s,
            now_s,
            self._rng,
        )
        swarm = self._swarms.put(
            info_hash,
            owner,
            client_tag(request.peer_id, request.key),
            address + request.port.to_bytes(2, "big"),
            standing,
            limit=member.max_peers,
            deadline_s=int(now_s) + pace.lifetime(interval_s),
            now_s=now_s,
        )
        here, there = (_V4, _V6) if len(address) == 4 else (_V6, _V4)
        own, other = swarm.others(owner, here), swarm.others(owner, there)
        numwant = request.numwant
        want = self._default_numwant if numwant is None else min(numwant, self._max_numwant)
        own_counts, other_counts = own.counts, other.counts
        fleet4, fleet6 = b"", b""
        if standing is _LEECHER:
            fleet = self._central(info_hash, swarm.counts[0])
            if fleet is not None:  # then who of them has announced does not matter: it may drain
                fleet4, fleet6 = fleet
                own_counts, other_counts = (*own_counts[:2], 0), (*other_counts[:2], 0)
                want = max(0, want - len(fleet4) // ENTRY_BYTES_V4 - len(fleet6) // ENTRY_BYTES_V6)
            if not (fleet4 or fleet6 or any(own_counts) or any(other_counts)):
                return _ALONE
        near, far = handout(
            own_counts,
            other_counts,
            want,
            asker_complete=standing is not _LEECHER,
            scarce=swarm.counts[1] < self._copies_wanted,
        )
        nearby = own.sample(near, self._rng)
        far_off = b"" if far is NOBODY else other.sample(far, self._rng)
        if here is _V6:
            nearby, far_off = far_off, nearby
        return self._encoded(swarm, interval_s, fleet4 + nearby, fleet6 + far_off, address)

    def _encoded(
        self, swarm: Swarm, interval_s: int, peers: bytes, peers6: bytes, address: bytes
    ) -> bytes:
        leechers, complete, central = swarm.counts
        return encode_response(
            interval_s=interval_s,
            min_interval_s=self._pace.min_interval(interval_s),
            complete=complete + central,
            incomplete=leechers,
            peers=peers,
            peers6=peers6,
            external_address=address,
        )


def _parsed(query: bytes) -> AnnounceRequest:
    try:
        return AnnounceRequest.from_query(query)
    except AnnounceError as error:
        raise NotAdmitted(Refusal.MALFORMED, str(error)) from error
