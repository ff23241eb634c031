"""Nothing arrives: since when, and why, as far as can be known. Pure."""

from collections.abc import Iterable

from client_lib.download.events import StallReason
from client_lib.swarm.tracker_talk import TrackerReport
from client_lib.wire.conventions import NO_SOURCE

_REDIAL_AFTER_S = 15.0


class Stillness:
    """How long a count has not moved."""

    def __init__(self, now_s: float) -> None:
        """Start now."""
        self._count = -1
        self._since_s = now_s

    def update(self, count: int, now_s: float) -> float:
        """Take the count; returns the seconds since it last changed."""
        if count != self._count:
            self._count, self._since_s = count, now_s
        return now_s - self._since_s


class Redial:
    """When to call silent peers anew.

    A connection that lost its network looks alive, and TCP tries again ever more rarely: plugged
    in after a minute, a client waited 54 s more for the next try. Whoever is silent for another
    reason is left alone ever longer.
    """

    def __init__(self) -> None:
        """Nobody has been silent yet."""
        self._next_s = _REDIAL_AFTER_S

    def is_due(self, still_s: float, connected_peers: int) -> bool:
        """Take how long nothing has come from so many peers; true once for each time to call."""
        if still_s < _REDIAL_AFTER_S:
            self._next_s = _REDIAL_AFTER_S
        if not connected_peers or still_s < self._next_s:
            return False
        self._next_s = 2 * still_s
        return True


def stall_reason(connected_peers: int, reports: Iterable[TrackerReport]) -> tuple[StallReason, str]:
    """Why nothing arrives, and a sentence about it."""
    if connected_peers:
        return StallReason.PEERS_SILENT, f"{connected_peers} peers are connected, and send nothing"
    reports = list(reports)
    said = "; ".join(f"{tracker_host(r.url)}: {r.message}" for r in reports if r.message)
    if any(report.refused for report in reports):
        return StallReason.REFUSED, f"the tracker refuses ({said})"
    if any(report.message.startswith(NO_SOURCE) for report in reports):
        return StallReason.NO_SOURCE, "nobody has the album online yet"
    if reports and all(report.message for report in reports):
        return StallReason.TRACKER_AWAY, f"no tracker answers ({said})"
    if not reports:
        return StallReason.TRACKER_AWAY, "no tracker answered yet"
    return StallReason.NO_PEERS, "none of the peers that the tracker named can be reached"


def tracker_host(url: str) -> str:
    """A tracker's URL without the licence id in its path."""
    return url.rpartition("/")[0]
