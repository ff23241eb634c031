"""Prometheus metrics, from a status: few names, and labels whose values are few.

Nothing here is per swarm or per licence: that would be as many series as customers.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric

from client_lib.service.metrics import Families
from tracker.operating.status import WorkerStatus

_FAMILIES = Families("albumswarm_tracker_")


def families(status: WorkerStatus) -> Iterator[Metric]:
    """The metrics of one worker."""
    yield _FAMILIES.counter_by(
        "announces", "Announces admitted, by role.", "role", status.announces
    )
    yield _FAMILIES.counter_by(
        "refusals", "Announces and polls refused, by reason.", "reason", status.refusals
    )
    yield _FAMILIES.counter_by(
        "events", "Broken handshakes, malformed requests and the like.", "event", status.events
    )
    peers = status.peers
    yield _FAMILIES.gauge_by(
        "peers",
        "Live peers, by what they have to give.",
        "standing",
        {"leecher": peers.leechers, "complete": peers.complete, "central": peers.central},
    )
    yield _FAMILIES.gauge("swarms", "Swarms with anybody in them.", status.swarms)
    yield _FAMILIES.gauge("hot_swarms", "Swarms with leechers.", status.hot_swarms)
    yield _FAMILIES.gauge("fleet_seeders", "Central seeders that poll.", len(status.fleet))
    yield _FAMILIES.gauge("flags", "Oddities that `status` shows.", len(status.flags))
    total = status.total
    yield _FAMILIES.counter_by(
        "bytes",
        "Bytes that clients reported, since the accounts were begun.",
        "what",
        {
            "customers_uploaded": total.uploaded_bytes,
            "customers_downloaded": total.downloaded_bytes,
            "central_uploaded": total.central_uploaded_bytes,
        },
    )
    yield _FAMILIES.counter("completions", "Albums that customers completed.", total.completions)
    crl = status.crl
    yield _FAMILIES.gauge(
        "crl_current", "Whether the revocation list may be relied on.", crl.current
    )
    if crl.age_s is not None:
        yield _FAMILIES.gauge(
            "crl_age_seconds", "Since licensing confirmed the revocation list.", crl.age_s
        )
