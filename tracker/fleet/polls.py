"""`GET /v1/demand/<seeder id>`: for seeders alone, held until there is something to say."""

import ipaddress
import time
from collections.abc import Callable

import trio

from client_lib.errors import AnnounceError
from client_lib.wire.demand import DEMAND_REFUSED, HOLD_S, DemandQuery
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.problem import MEDIA_TYPE, Problem, ProblemType, encode_problem
from tracker.accounting.tally import Accounting
from tracker.fleet.feed import DemandFeed
from tracker.fleet.nodes import Fleet
from tracker.serving.exchange import Answer, Request, Waiting
from tracker.trust.admission import Admission, Member, NotAdmitted, Refusal, Revocations, Role

_REVOKED_WITHIN_S = 2.0
_NO_SWARM = TruncatedInfoHash(bytes(20))


class DemandPolls:
    """Answers polls; a poll is also the seeder's heartbeat."""

    def __init__(
        self,
        *,
        admission: Admission,
        revocations: Revocations,
        accounting: Accounting,
        fleet: Fleet,
        feed: DemandFeed,
        hold_s: float = HOLD_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take who decides, who is told of refusals, and what is to be answered."""
        self._admission = admission
        self._revocations = revocations
        self._accounting = accounting
        self._fleet = fleet
        self._feed = feed
        self._hold_s = hold_s
        self._clock = clock

    def answer(self, request: Request, seeder_id: str) -> Answer | Waiting:
        """Wait for a change, `hold_s` at most; a refusal is a problem document (RFC 9457).

        At once: who is refused takes no place among those who wait.
        """
        try:
            member = self._admitted(request, seeder_id)
            query = DemandQuery.from_query(request.head.query)
        except NotAdmitted as refused:
            self._accounting.refused(refused.refusal)
            return _problem(403, DEMAND_REFUSED, refused.reason, refused.refusal)
        except AnnounceError as error:
            return _problem(400, ProblemType.MALFORMED_REQUEST, str(error))
        if not self._fleet.has_room(seeder_id):
            return _problem(503, ProblemType.NOT_READY, "too many polls at once")
        return self._held(member, seeder_id, query, str(ipaddress.ip_address(request.address)))

    async def _held(
        self, member: Member, seeder_id: str, query: DemandQuery, address: str
    ) -> Answer:
        await trio.lowlevel.checkpoint()
        if self._fleet.begin(seeder_id, query, address, self._clock()):
            self._feed.fleet_changed()
        try:
            with trio.move_on_after(self._hold_s):
                await self._news(query.version, member)
        finally:
            self._fleet.end(seeder_id, self._clock())
        if self._revocations.is_revoked(member.serial):
            self._accounting.refused(Refusal.REVOKED)
            detail = f"{Refusal.REVOKED.word}: {Refusal.REVOKED.sentence}"
            return _problem(403, DEMAND_REFUSED, detail, Refusal.REVOKED)
        return Answer(self._feed.since(query.version).encode(), content_type=b"application/json")

    async def _news(self, version: int, member: Member) -> None:
        """Wait for a change, or for the seeder's own revocation."""
        while not self._revocations.is_revoked(member.serial):
            with trio.move_on_after(_REVOKED_WITHIN_S):
                await self._feed.changed_since(version)
                return

    def _admitted(self, request: Request, seeder_id: str) -> Member:
        member = self._admission.recognise(request.certificate_der)
        if member.role is not Role.SEEDER:
            raise NotAdmitted(Refusal.ROLE, "the demand feed is for central seeders")
        # The swarm does not matter: a seeder may be in any.
        self._admission.admit(member, seeder_id, _NO_SWARM, self._revocations, self._clock())
        return member


def _problem(status: int, kind: str, detail: str, refusal: Refusal | None = None) -> Answer:
    problem = Problem(
        type=kind,
        title=_TITLES[status],
        status=status,
        detail=detail,
        reason="" if refusal is None else refusal.word,
    )
    return Answer(encode_problem(problem), status, MEDIA_TYPE.encode())


_TITLES = {400: "Malformed request", 403: "Refused", 503: "Not now"}
