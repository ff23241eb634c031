"""Which path is answered by whom."""

import time
from collections.abc import Callable
from typing import Protocol

from tracker.serving.exchange import Request, Respond, Waiting
from tracker.serving.head import HeadRefused


class Announces(Protocol):
    """`tracker.announce.Announcer`."""

    def answer(
        self, certificate_der: bytes, member_id: str, query: bytes, address: bytes, now_s: float
    ) -> bytes:
        """Bencoded answer to an announce."""


class Scrapes(Protocol):
    """`tracker.scrape.Scraper`."""

    def answer(self, certificate_der: bytes, member_id: str, query: bytes, now_s: float) -> bytes:
        """Bencoded answer to a scrape."""


Demand = Callable[[Request, str], Waiting]
"""Answers a seeder's poll: the request, and the seeder id of its path."""


def routes(
    announcer: Announces,
    scraper: Scrapes | None = None,
    demand: Demand | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Respond:
    """Answer `GET /announce/<id>`, `/scrape/<id>` and `/v1/demand/<seeder id>`, and no other path.

    What is None is not served: 404.
    """

    def respond(request: Request) -> bytes | Waiting:
        prefix, _, member_id = request.head.path.rpartition(b"/")
        if member_id:
            name = member_id.decode("ascii")  # a path is ASCII
            match prefix:
                case b"/announce":
                    return announcer.answer(
                        request.certificate_der, name, request.head.query, request.address, clock()
                    )
                case b"/scrape" if scraper is not None:
                    return scraper.answer(
                        request.certificate_der, name, request.head.query, clock()
                    )
                case b"/v1/demand" if demand is not None:
                    return demand(request, name)
                case _:
                    pass
        raise HeadRefused(404, "announces go to /announce/<licence id>")

    return respond
