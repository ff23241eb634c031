"""Which path is answered by whom."""

import time
from collections.abc import Callable

from tracker.announce import Announcer
from tracker.serving.connection import Respond
from tracker.serving.head import Head, HeadRefused

ANNOUNCE_PREFIX = b"/announce/"


def announce_path(announcer: Announcer, clock: Callable[[], float] = time.time) -> Respond:
    """Answer `GET /announce/<id>`, and nothing else."""

    def respond(certificate_der: bytes, head: Head, address: bytes) -> bytes:
        member_id = head.path.removeprefix(ANNOUNCE_PREFIX)
        if not head.path.startswith(ANNOUNCE_PREFIX) or not member_id or b"/" in member_id:
            raise HeadRefused(404, "announces go to /announce/<licence id>")
        return announcer.answer(
            certificate_der, member_id.decode("ascii"), head.query, address, clock()
        )

    return respond
