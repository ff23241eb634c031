"""Which path is answered by whom."""

import time
from collections.abc import Callable
from typing import Protocol

from tracker.accounting.regular import Regular
from tracker.serving.exchange import Answer, Request, Respond, RespondAgain, Waiting
from tracker.serving.familiar import Familiar, Recurring
from tracker.serving.head import HeadRefused


class Announces(Protocol):
    """`tracker.announce.Announcer`."""

    def introduce(
        self, certificate_der: bytes, member_id: str, query: bytes, address: bytes, now_s: float
    ) -> tuple[bytes, Regular | None]:
        """Bencoded answer to an announce, and what the next ones can be answered by."""

    def again(
        self,
        regular: Regular,
        uploaded_bytes: int,
        downloaded_bytes: int,
        left_bytes: int,
        now_s: float,
    ) -> bytes | None:
        """Bencoded answer to the next announce, None if it has to be introduced anew."""


class Scrapes(Protocol):
    """`tracker.scrape.Scraper`."""

    def answer(self, certificate_der: bytes, member_id: str, query: bytes, now_s: float) -> bytes:
        """Bencoded answer to a scrape."""


Demand = Callable[[Request, str], Answer | Waiting]
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

    def respond(request: Request) -> bytes | Recurring | Answer | Waiting:
        prefix, _, member_id = request.head.path.rpartition(b"/")
        if member_id:
            name = member_id.decode("ascii")  # a path is ASCII
            match prefix:
                case b"/announce":
                    answer, regular = announcer.introduce(
                        request.certificate_der, name, request.head.query, request.address, clock()
                    )
                    return answer if regular is None else Recurring(answer, regular)
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


def routes_again(announcer: Announces, *, clock: Callable[[], float] = time.time) -> RespondAgain:
    """Answer the announces that came before: nothing else recurs."""

    def respond_again(
        familiar: Familiar, uploaded_bytes: int, downloaded_bytes: int, left_bytes: int
    ) -> bytes | None:
        if not isinstance(familiar, Regular):
            return None
        return announcer.again(familiar, uploaded_bytes, downloaded_bytes, left_bytes, clock())

    return respond_again
