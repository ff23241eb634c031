"""How long clients may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a client may take, before it is cut off; looked after once a second."""

    handshake_s: float = 10.0
    head_s: float = 10.0
    """From the first byte of a request to the end of its head; also for the first request."""
    idle_s: float = 60.0
    """Between the requests of a connection."""
    answer_s: float = 20.0
    """To take our answer."""
