"""One request and its answer, as the front ends hand them on."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracker.serving.familiar import Familiar, Recurring
from tracker.serving.head import Head


class Request(NamedTuple):
    """What a client asks. A NamedTuple, since one is made for every announce: 0.3 µs."""

    certificate_der: bytes
    """Of a client whose TLS handshake proved its key: ours, or that of a trusted proxy."""
    head: Head
    address: bytes
    """The client's, packed in 4 or 16 bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, media type and body of an answer."""

    body: bytes
    status: int = 200
    content_type: bytes = b"text/plain"


Waiting = Coroutine[Any, Any, Answer]
"""An answer that is not there yet. Cancelled when its client goes, and when the tracker stops."""

Respond = Callable[[Request], bytes | Recurring | Answer | Waiting]
"""Body of an answer with status 200, or another answer, at once; or what to wait for, beside the
other clients.

Raises HeadRefused for a path that does not exist; so may the coroutine."""

RespondAgain = Callable[[Familiar, int, int, int], bytes | None]
"""Body of an answer to a `Recurring` request that came again, with new counters: bytes uploaded,
downloaded and left. None if `Respond` has to look at it anew."""
