"""What an announce is reported to, and plain counters of what happened."""

from collections import Counter
from typing import Protocol

from client_lib.wire.announce import AnnounceRequest
from tracker.accounting.regular import Regular
from tracker.trust.admission import Member, Refusal


class Accounting(Protocol):
    """Is told of every announce over a good handshake. Must be quick: it is on the hot path."""

    def admitted(
        self, member: Member, request: AnnounceRequest, now_s: float, address: bytes = b""
    ) -> None:
        """`member` announced from a packed address, and gets an answer."""

    def admitted_again(
        self,
        regular: Regular,
        session: tuple[int, bytes],
        uploaded_bytes: int,
        downloaded_bytes: int,
        left_bytes: int,
        now_s: float,
    ) -> None:
        """`admitted`, for a client that is known, and whose announce has no event.

        `session` is a `sessions.Session`, as the tuple that it is.
        """

    def refused(self, refusal: Refusal) -> None:
        """An announce was refused."""


class Tally:
    """Counts announces, refusals by reason, and what went wrong before there was an announce."""

    def __init__(self) -> None:
        """Start at zero."""
        self.counts: Counter[str] = Counter()

    def admitted(
        self, member: Member, request: AnnounceRequest, now_s: float, address: bytes = b""
    ) -> None:
        """Count an admitted announce, by role."""
        self.counts[f"admitted_{member.role.value}"] += 1

    def admitted_again(
        self,
        regular: Regular,
        session: tuple[int, bytes],
        uploaded_bytes: int,
        downloaded_bytes: int,
        left_bytes: int,
        now_s: float,
    ) -> None:
        """Count it like any other."""
        self.counts[f"admitted_{regular.member.role.value}"] += 1

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal by its reason."""
        self.counts[f"refused_{refusal.word}"] += 1

    def count(self, what: str) -> None:
        """Count an event of the front end, such as a failed handshake."""
        self.counts[what] += 1
