"""One announce, from query to answer: admission, then accounting, then handout."""

import random
from collections.abc import Collection

from client_lib.errors import AnnounceError
from client_lib.wire.announce import AnnounceFailure, AnnounceRequest, Event, encode_response
from tracker.accounting.tally import Accounting
from tracker.swarms.handout import Mix, Pace, handout
from tracker.swarms.swarm import Family, Others, Standing, Swarm, Swarms, client_tag
from tracker.trust.admission import Admission, Member, NotAdmitted, Refusal, Revocations, Role


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
    ) -> None:
        """Take the hooks in the order in which they act, and the policy's numbers."""
        self._admission = admission
        self._revocations = revocations
        self._accounting = accounting
        self._swarms = swarms
        self._pace = pace
        self._default_numwant = default_numwant
        self._max_numwant = max_numwant
        self._copies_wanted = copies_wanted
        self._rng = rng

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
            return AnnounceFailure(refused.reason, refused.refusal.retry_in).encode()
        self._accounting.admitted(member, request, now_s)
        return self._handed_out(member, request, address, now_s)

    def expel(self, serials: Collection[int]) -> None:
        """Forget the peers behind revoked certificates, so that nobody is sent to them."""
        for member in self._admission.members(serials):
            swarms = self._swarms.info_hashes() if member.info_hash is None else [member.info_hash]
            self._swarms.remove_owner(member.owner, swarms, limit=member.max_peers)

    def _handed_out(
        self, member: Member, request: AnnounceRequest, address: bytes, now_s: float
    ) -> bytes:
        limit = member.max_peers
        client = client_tag(request.peer_id, request.key)
        family = Family.of(address)
        if request.event is Event.STOPPED:
            self._swarms.remove(request.info_hash, member.owner, client, family, limit=limit)
            swarm, want = self._swarms.get(request.info_hash) or Swarm(), 0
        else:
            swarm, want = self._swarms.open(request.info_hash), self._wanted(request)
        standing = _standing(member, request)
        first_leecher = standing is Standing.LEECHER and swarm.leeching_since_s is None
        interval_s = self._pace.interval(
            peers=len(swarm),
            leeching_since_s=now_s if first_leecher else swarm.leeching_since_s,
            now_s=now_s,
            rng=self._rng,
        )
        if request.event is not Event.STOPPED:
            swarm.put(
                member.owner,
                client,
                address + request.port.to_bytes(2, "big"),
                standing,
                limit=limit,
                deadline_s=int(now_s) + self._pace.lifetime(interval_s),
                now_s=now_s,
            )
        families = (family, Family.V6 if family is Family.V4 else Family.V4)
        own, other = (swarm.others(member.owner, f, limit=limit) for f in families)
        near, far = handout(
            Mix(*own.counts()),
            Mix(*other.counts()),
            want=want,
            asker_complete=standing is not Standing.LEECHER,
            copies=swarm.count(Standing.COMPLETE),
            copies_wanted=self._copies_wanted,
        )
        lists = {families[0]: self._sampled(own, near), families[1]: self._sampled(other, far)}
        return encode_response(
            interval_s=interval_s,
            min_interval_s=self._pace.min_interval(interval_s),
            complete=swarm.count(Standing.COMPLETE) + swarm.count(Standing.CENTRAL),
            incomplete=swarm.count(Standing.LEECHER),
            peers=lists[Family.V4],
            peers6=lists[Family.V6],
            external_address=address,
        )

    def _wanted(self, request: AnnounceRequest) -> int:
        if request.numwant is None:
            return self._default_numwant
        return min(request.numwant, self._max_numwant)

    def _sampled(self, others: Others, mix: Mix) -> bytes:
        # Central seeders first: libtorrent tries peers in about the order in which it got them.
        return (
            others.sample(Standing.CENTRAL, mix.central, self._rng)
            + others.sample(Standing.COMPLETE, mix.complete, self._rng)
            + others.sample(Standing.LEECHER, mix.leechers, self._rng)
        )


def _parsed(query: bytes) -> AnnounceRequest:
    try:
        return AnnounceRequest.from_query(query)
    except AnnounceError as error:
        raise NotAdmitted(Refusal.MALFORMED, str(error)) from error


def _standing(member: Member, request: AnnounceRequest) -> Standing:
    if request.left_bytes:
        return Standing.LEECHER
    return Standing.CENTRAL if member.role is Role.SEEDER else Standing.COMPLETE
