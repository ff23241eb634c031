"""Prometheus metrics, from a status: few names, and labels whose values are few.

Nothing here is per release or per licence: that would be as many series as albums.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from seeder.peers.refusal import Refusal
from seeder.status import NodeStatus

_PREFIX = "albumswarm_seeder_"


class Metrics:
    """Writes the metrics of one node."""

    def __init__(self) -> None:
        """Make the registry, with what is known of the process itself."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._collector = _StatusCollector()
        self._registry.register(self._collector)

    def exposition(self, status: NodeStatus) -> bytes:
        """All of it in Prometheus' text format."""
        self._collector.status = status
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    def __init__(self) -> None:
        self.status: NodeStatus | None = None

    def collect(self) -> Iterator[Metric]:
        status = self.status
        if status is None:  # asked while it is registered
            return
        yield from _delivery(status)
        yield from _storage(status)
        yield from _standing(status)


def _delivery(status: NodeStatus) -> Iterator[Metric]:
    yield _total(
        "uploaded_bytes",
        "Payload sent since the data folder was made.",
        status.uploaded_total_bytes,
    )
    yield _total("web_seed_bytes", "Of it over HTTPS, since the start.", status.web_seed_bytes)
    yield _gauge("upload_rate_bytes", "Payload a second, lately.", status.line.upload_bytes_s)
    yield _gauge("upload_limit_bytes", "Its limit, 0 for none.", status.line.limit_bytes_s)
    yield _gauge("customers", "Customers that are connected.", status.customers)
    leechers = sum(release.leechers for release in status.releases)
    yield _gauge("leechers", "Of those, the ones that miss something.", leechers)
    yield _gauge("loaded_releases", "Releases in memory.", status.loaded_releases)
    problems = sum(release.problem is not None for release in status.releases)
    yield _gauge("damaged_releases", "Releases that are not served, or not wholly.", problems)
    yield _counter(
        "refused_connections",
        "Connections that never became a customer's, by reason.",
        "reason",
        {reason.value: status.refused.get(reason, 0) for reason in Refusal},
    )
    yield _total("revoked_cuts", "Connections ended by a revocation.", status.revoked_cuts)


def _storage(status: NodeStatus) -> Iterator[Metric]:
    memory, cache = status.memory, status.cache
    yield _total("piece_reads", "Pieces read from the origin or its cache.", memory.misses)
    yield _total("piece_memory_hits", "Blocks whose piece was in memory.", memory.hits)
    yield _gauge("piece_memory_bytes", "Pieces in memory.", memory.used_bytes)
    yield _total(
        "failed_hashes", "Reads that gave other bytes than were published.", memory.damaged
    )
    yield _total("origin_errors", "Reads that gave nothing.", memory.unreadable)
    if cache is not None:
        yield _gauge("cache_bytes", "A bucket's pieces on the disk.", cache.used_bytes)
        yield _gauge("cache_capacity_bytes", "What they may take.", cache.capacity_bytes)
        yield _total("cache_hits", "Pieces that were on the disk.", cache.hits)
        yield _total("cache_misses", "Pieces that were not.", cache.misses)
        yield _total("cache_evictions", "Releases that made room.", cache.evictions)
        trouble = cache.problem is not None
        yield _gauge("cache_trouble", "Whether the disk cannot be written.", trouble)


def _standing(status: NodeStatus) -> Iterator[Metric]:
    yield _gauge(
        "certificate_expiry_timestamp_seconds",
        "When the node's certificate ends.",
        status.certificate_expires_at.timestamp(),
    )
    yield _gauge("crl_current", "Whether the revocation list may be relied on.", status.crl.current)
    if status.crl.age_s is not None:
        yield _gauge(
            "crl_age_seconds", "Since licensing confirmed the revocation list.", status.crl.age_s
        )
    away = sum(tracker.problem is not None for tracker in status.trackers)
    yield _gauge("trackers", "Trackers that are configured.", len(status.trackers))
    yield _gauge("trackers_away", "Trackers that do not answer.", away)
    yield _gauge("fleet_nodes", "Nodes that the trackers know.", len(status.fleet))
    yield _gauge("draining", "Whether the node is leaving.", status.drain is not None)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, text, value=value)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family
