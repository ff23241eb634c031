"""What happens to an album that is fetched, step by step."""

import math
from dataclasses import dataclass

from client_lib.download.events import StallReason


@dataclass(frozen=True, slots=True)
class Receive:
    """Bytes arrive until `share` of the album is there, 0 to 1."""

    share: float

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share of {self.share}: 0 to 1")


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing arrives for `for_s` seconds. What follows from it is up to the settings.

    After `ClientSettings.stalled_after_s` there is a Stalled event, after `patience_s` the album
    fails.
    """

    for_s: float = math.inf
    reason: StallReason = StallReason.NO_PEERS
    detail: str = "no peers yet"


@dataclass(frozen=True, slots=True)
class Break:
    """The album ends with `error`, once: resumed, it goes on with the next step.

    After a DiskFullError it waits two seconds for room and goes on by itself.
    """

    error: Exception


Step = Receive | Stall | Break
