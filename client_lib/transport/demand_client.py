"""The demand feed's client: what a central seeder asks the trackers of its network."""

import contextlib
import ssl
from collections.abc import AsyncIterator

from client_lib.errors import AnnounceError, AnnounceRefused, UnreachableError
from client_lib.transport.address import ServiceAddress
from client_lib.transport.http import Http, open_http
from client_lib.wire.demand import (
    DEMAND_PREFIX,
    HOLD_S,
    MAX_DEMAND_BYTES,
    Demand,
    DemandQuery,
)
from client_lib.wire.problem import decode_problem

_ANSWER_S = HOLD_S + 10


class DemandClient:
    """Polls one tracker. Make it with `open_demand`."""

    def __init__(self, http: Http, url: str, seeder_id: str) -> None:
        """Use `open_demand` instead: it closes the pool."""
        self._http = http
        self._seeder_id = seeder_id
        self.url = url

    async def poll(self, query: DemandQuery) -> Demand:
        """Say how we are, and wait for news after `query.version`: up to 20 s.

        The poll is also the heartbeat: poll again at once, with the answer's version; after 6 s
        without a poll the tracker counts us out. Raises AnnounceRefused when the tracker does not
        take us for a seeder, UnreachableError when nobody whom we trust answers.
        """
        path = f"{DEMAND_PREFIX}{self._seeder_id}?{query.to_query()}"
        answer = await self._http.ask(self.url, "GET", path, max_bytes=MAX_DEMAND_BYTES)
        if answer.status == 200:
            try:
                return Demand.decode(answer.body)
            except AnnounceError as error:
                raise UnreachableError(self.url, str(error)) from error
        problem = decode_problem(answer.body, answer.status)
        detail = problem.detail or f"{problem.title} {answer.status}"
        if answer.status in (400, 403):
            raise AnnounceRefused(detail)
        raise UnreachableError(self.url, f"{detail} (HTTP {answer.status})")


@contextlib.asynccontextmanager
async def open_demand(
    url: str, context: ssl.SSLContext, seeder_id: str
) -> AsyncIterator[DemandClient]:
    """Open a client of the tracker at `url` (`https://host:port`).

    `context` is `transport.tls.client_context` with the swarm CA and the seeder's credential; a
    renewed credential is loaded into it. Raises UsageError for a URL that is none.
    """
    ServiceAddress.from_url(url)
    async with open_http(context, silence_s=_ANSWER_S) as http:
        yield DemandClient(http, url, seeder_id)
