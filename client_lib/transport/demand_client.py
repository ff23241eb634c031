"""The demand feed's client: what a central seeder asks the trackers of its network."""

import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx2

from client_lib.errors import AnnounceError, AnnounceRefused, UnreachableError
from client_lib.transport.licensing_client import cause_in_words, require_https
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

    def __init__(self, http: httpx2.AsyncClient, url: str, seeder_id: str) -> None:
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
        try:
            status, body = await self._fetch(path)
        except httpx2.HTTPError as error:
            raise UnreachableError(self.url, cause_in_words(error)) from error
        if status == httpx2.codes.OK:
            try:
                return Demand.decode(body)
            except AnnounceError as error:
                raise UnreachableError(self.url, str(error)) from error
        problem = decode_problem(body, status)
        detail = problem.detail or f"{problem.title} {status}"
        if status in (httpx2.codes.BAD_REQUEST, httpx2.codes.FORBIDDEN):
            raise AnnounceRefused(detail)
        raise UnreachableError(self.url, f"{detail} (HTTP {status})")

    async def _fetch(self, path: str) -> tuple[int, bytes]:
        """Read an answer whole, at most `MAX_DEMAND_BYTES` of it."""
        async with self._http.stream("GET", path) as answer:
            received = bytearray()
            async with contextlib.aclosing(answer.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    received += chunk
                    if len(received) > MAX_DEMAND_BYTES:
                        why = f"the answer is larger than {MAX_DEMAND_BYTES} bytes"
                        raise UnreachableError(self.url, why)
            return answer.status_code, bytes(received)


@contextlib.asynccontextmanager
async def open_demand(
    url: str, context: ssl.SSLContext, seeder_id: str
) -> AsyncIterator[DemandClient]:
    """Open a client of the tracker at `url` (`https://host:port`).

    `context` is `transport.tls.client_context` with the swarm CA and the seeder's credential; a
    renewed credential is loaded into it. Raises UsageError for a URL that is none.
    """
    require_https(url)
    timeout = httpx2.Timeout(_ANSWER_S, connect=10)
    async with httpx2.AsyncClient(
        base_url=url, verify=context, timeout=timeout, trust_env=False
    ) as http:
        yield DemandClient(http, url, seeder_id)
