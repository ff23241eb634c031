"""Prometheus metrics, from a status: few names, and labels whose values are few.

Nothing here is per release or per licence: that would be as many series as albums.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric

from client_lib.service.metrics import Families
from seeder.peers.refusal import Refusal
from seeder.status import NodeStatus

_FAMILIES = Families("albumswarm_seeder_")


def families(status: NodeStatus) -> Iterator[Metric]:
    """The metrics of one node."""
    yield from _delivery(status)
    yield from _storage(status)
    yield from _standing(status)


def _delivery(status: NodeStatus) -> Iterator[Metric]:
    yield _FAMILIES.counter(
        "uploaded_bytes",
        "Payload sent since the data folder was made.",
        status.uploaded_total_bytes,
    )
    yield _FAMILIES.counter(
        "web_seed_bytes", "Of it over HTTPS, since the start.", status.web_seed_bytes
    )
    yield _FAMILIES.gauge(
        "upload_rate_bytes", "Payload a second, lately.", status.line.upload_bytes_s
    )
    yield _FAMILIES.gauge("upload_limit_bytes", "Its limit, 0 for none.", status.line.limit_bytes_s)
    yield _FAMILIES.gauge("customers", "Customers that are connected.", status.customers)
    leechers = sum(release.leechers for release in status.releases)
    yield _FAMILIES.gauge("leechers", "Of those, the ones that miss something.", leechers)
    yield _FAMILIES.gauge("loaded_releases", "Releases in memory.", status.loaded_releases)
    problems = sum(release.problem is not None for release in status.releases)
    yield _FAMILIES.gauge(
        "damaged_releases", "Releases that are not served, or not wholly.", problems
    )
    yield _FAMILIES.counter_by(
        "refused_connections",
        "Connections that never became a customer's, by reason.",
        "reason",
        {reason.value: status.refused.get(reason, 0) for reason in Refusal},
    )
    yield _FAMILIES.counter(
        "revoked_cuts", "Connections ended by a revocation.", status.revoked_cuts
    )


def _storage(status: NodeStatus) -> Iterator[Metric]:
    memory, cache = status.memory, status.cache
    yield _FAMILIES.counter(
        "piece_reads", "Pieces read from the origin or its cache.", memory.misses
    )
    yield _FAMILIES.counter("piece_memory_hits", "Blocks whose piece was in memory.", memory.hits)
    yield _FAMILIES.gauge("piece_memory_bytes", "Pieces in memory.", memory.used_bytes)
    yield _FAMILIES.counter(
        "failed_hashes", "Reads that gave other bytes than were published.", memory.damaged
    )
    yield _FAMILIES.counter("origin_errors", "Reads that gave nothing.", memory.unreadable)
    if cache is not None:
        yield _FAMILIES.gauge("cache_bytes", "A bucket's pieces on the disk.", cache.used_bytes)
        yield _FAMILIES.gauge("cache_capacity_bytes", "What they may take.", cache.capacity_bytes)
        yield _FAMILIES.counter("cache_hits", "Pieces that were on the disk.", cache.hits)
        yield _FAMILIES.counter("cache_misses", "Pieces that were not.", cache.misses)
        yield _FAMILIES.counter("cache_evictions", "Releases that made room.", cache.evictions)
        trouble = cache.problem is not None
        yield _FAMILIES.gauge("cache_trouble", "Whether the disk cannot be written.", trouble)


def _standing(status: NodeStatus) -> Iterator[Metric]:
    yield _FAMILIES.gauge(
        "certificate_expiry_timestamp_seconds",
        "When the node's certificate ends.",
        status.certificate_expires_at.timestamp(),
    )
    yield _FAMILIES.gauge(
        "crl_current", "Whether the revocation list may be relied on.", status.crl.current
    )
    if status.crl.age_s is not None:
        yield _FAMILIES.gauge(
            "crl_age_seconds", "Since licensing confirmed the revocation list.", status.crl.age_s
        )
    away = sum(tracker.problem is not None for tracker in status.trackers)
    yield _FAMILIES.gauge("trackers", "Trackers that are configured.", len(status.trackers))
    yield _FAMILIES.gauge("trackers_away", "Trackers that do not answer.", away)
    yield _FAMILIES.gauge("fleet_nodes", "Nodes that the trackers know.", len(status.fleet))
    yield _FAMILIES.gauge("draining", "Whether the node is leaving.", status.drain is not None)
