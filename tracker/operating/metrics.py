"""Prometheus metrics, from a status: few names, and labels whose values are few.

Nothing here is per swarm or per licence: that would be as many series as customers.
"""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracker.operating.status import WorkerStatus

_PREFIX = "albumswarm_tracker_"


class Metrics:
    """Writes the metrics of one process."""

    def __init__(self) -> None:
        """Make the registry, with what is known of the process itself."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._collector = _StatusCollector()
        self._registry.register(self._collector)

    def exposition(self, status: WorkerStatus) -> bytes:
        """All of it in Prometheus' text format."""
        self._collector.status = status
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    def __init__(self) -> None:
        self.status: WorkerStatus | None = None

    def collect(self) -> Iterator[Metric]:
        status = self.status
        if status is None:  # asked while it is registered
            return
        yield _counter("announces", "Announces admitted, by role.", "role", status.announces)
        yield _counter(
            "refusals", "Announces and polls refused, by reason.", "reason", status.refusals
        )
        yield _counter(
            "events", "Broken handshakes, malformed requests and the like.", "event", status.events
        )
        peers = status.peers
        yield _gauge_by(
            "peers",
            "Live peers, by what they have to give.",
            "standing",
            {"leecher": peers.leechers, "complete": peers.complete, "central": peers.central},
        )
        yield _gauge("swarms", "Swarms with anybody in them.", status.swarms)
        yield _gauge("hot_swarms", "Swarms with leechers.", status.hot_swarms)
        yield _gauge("fleet_seeders", "Central seeders that poll.", len(status.fleet))
        yield _gauge("flags", "Oddities that `status` shows.", len(status.flags))
        total = status.total
        yield _counter(
            "bytes",
            "Bytes that clients reported, since the accounts were begun.",
            "what",
            {
                "customers_uploaded": total.uploaded_bytes,
                "customers_downloaded": total.downloaded_bytes,
                "central_uploaded": total.central_uploaded_bytes,
            },
        )
        completions = CounterMetricFamily(
            _PREFIX + "completions", "Albums that customers completed."
        )
        completions.add_metric((), total.completions)
        yield completions
        crl = status.crl
        yield _gauge("crl_current", "Whether the revocation list may be relied on.", crl.current)
        if crl.age_s is not None:
            yield _gauge(
                "crl_age_seconds", "Since licensing confirmed the revocation list.", crl.age_s
            )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def _gauge_by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family
