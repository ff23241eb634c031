"""Scrapes (BEP 48), for those who may announce the same swarms."""

from collections.abc import Callable

from client_lib.errors import AnnounceError
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.scrape import SwarmCounts, encode_scrape, parse_scrape
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission, NotAdmitted, Refusal, Revocations

_NOBODY = SwarmCounts(complete=0, downloaded=0, incomplete=0)


class Scraper:
    """Answers scrapes: a licence learns of its own swarm, a seeder of any."""

    def __init__(
        self,
        *,
        admission: Admission,
        revocations: Revocations,
        swarms: Swarms,
        refused: Callable[[Refusal], None],
    ) -> None:
        """Take what the announcer has, too; `refused` is told of every refusal."""
        self._admission = admission
        self._revocations = revocations
        self._swarms = swarms
        self._refused = refused

    def answer(self, certificate_der: bytes, member_id: str, query: bytes, now_s: float) -> bytes:
        """Bencoded answer to `GET /scrape/<member_id>?<query>`. A refusal is an answer, too.

        Info-hashes that the certificate does not license are left out; if it licenses none of them,
        the scrape is refused as an announce would be.
        """
        try:
            member = self._admission.recognise(certificate_der)
            asked = _parsed(query)
            licensed = [each for each in asked if member.info_hash in (None, each)]
            first = (licensed or asked)[0]
            self._admission.admit(member, member_id, first, self._revocations, now_s)
        except NotAdmitted as refused:
            self._refused(refused.refusal)
            return refused.answer()
        return encode_scrape({info_hash: self._counts(info_hash) for info_hash in licensed})

    def _counts(self, info_hash: TruncatedInfoHash) -> SwarmCounts:
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            return _NOBODY
        leechers, complete, central = swarm.counts
        return SwarmCounts(complete + central, swarm.completions, leechers)


def _parsed(query: bytes) -> list[TruncatedInfoHash]:
    try:
        return parse_scrape(query)
    except AnnounceError as error:
        raise NotAdmitted(Refusal.MALFORMED, str(error)) from error
