"""Telling the trackers which releases are being served here, and what went out.

A node announces only what is loaded. Trackers learn from the uploads what the swarm saved.
"""

import random
import secrets
import ssl
from dataclasses import dataclass

import structlog
import trio

from client_lib.errors import AnnounceError, AnnounceRefused, UnreachableError
from client_lib.transport.http import HttpClient
from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.announce_answer import AnnounceResponse
from client_lib.wire.conventions import PEER_ID_SEEDER
from seeder.peers.swarm import Swarm

_TIMEOUT_S = 20.0
_RETRY_S = (5.0, 120.0)
_MOST_AT_ONCE = 32
_MOST_ANSWER_BYTES = 1 << 20
_GOODBYE_S = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Announced:
    """How trackers reach us: seeder id (the announce path), port for peers, base URLs."""

    seeder_id: str
    port: int
    trackers: tuple[str, ...]


class Announcements:
    """One task for each loaded release and tracker, in a nursery of the caller's."""

    def __init__(
        self, nursery: trio.Nursery, context: ssl.SSLContext, who: Announced, *, rng: random.Random
    ) -> None:
        """`context` presents our certificate and trusts the swarm CA alone."""
        self._nursery = nursery
        self._who = who
        self._rng = rng
        self._peer_id = PeerId(PEER_ID_SEEDER.encode() + secrets.token_bytes(12))
        self._announced: dict[str, tuple[Swarm, trio.CancelScope]] = {}
        self._slots = trio.CapacityLimiter(_MOST_AT_ONCE)
        self._http = HttpClient(context, silence_s=_TIMEOUT_S, connections=_MOST_AT_ONCE)

    def begin(self, swarm: Swarm) -> None:
        """Announce a release that was loaded, until `end`."""
        scope = trio.CancelScope()
        self._announced[swarm.info_hash.hex] = swarm, scope
        for url in self._who.trackers:
            self._nursery.start_soon(self._keep_announced, swarm, url, scope)

    def end(self, swarm: Swarm) -> None:
        """Say goodbye for a release that was put away."""
        announced = self._announced.pop(swarm.info_hash.hex, None)
        if announced is not None:
            announced[1].cancel()
            for url in self._who.trackers:
                self._nursery.start_soon(self._say, swarm, url, Event.STOPPED)

    async def close(self) -> None:
        """Say goodbye for all, as far as trackers answer at once, and close the connections."""
        with trio.move_on_after(_GOODBYE_S):
            async with trio.open_nursery() as nursery:
                for swarm, scope in self._announced.values():
                    scope.cancel()
                    for url in self._who.trackers:
                        nursery.start_soon(self._say, swarm, url, Event.STOPPED)
        await self._http.aclose()

    async def _keep_announced(self, swarm: Swarm, url: str, scope: trio.CancelScope) -> None:
        event, retry_s = Event.STARTED, _RETRY_S[0]
        with scope:
            while True:
                interval_s = await self._say(swarm, url, event)
                if interval_s is None:
                    await trio.sleep(retry_s * self._rng.uniform(0.8, 1.2))
                    retry_s = min(2 * retry_s, _RETRY_S[1])
                else:
                    event, retry_s = Event.REGULAR, _RETRY_S[0]
                    await trio.sleep(interval_s)

    async def _say(self, swarm: Swarm, url: str, event: Event) -> float | None:
        """Announce once; the interval that the tracker asks for, None if it did not answer."""
        request = AnnounceRequest(
            info_hash=swarm.info_hash.truncated,
            peer_id=self._peer_id,
            port=self._who.port,
            uploaded_bytes=swarm.counters.uploaded_bytes,
            downloaded_bytes=0,
            left_bytes=0,
            event=event,
            numwant=0,
        )
        path = f"/announce/{self._who.seeder_id}?{request.to_query().decode()}"
        try:
            async with self._slots:
                answer = await self._http.ask(url, "GET", path, max_bytes=_MOST_ANSWER_BYTES)
            return float(AnnounceResponse.decode(answer.body).interval_s)
        except (UnreachableError, AnnounceError, AnnounceRefused) as error:
            log.warning("announce failed", tracker=url, release=swarm.name, reason=str(error))
            return None
