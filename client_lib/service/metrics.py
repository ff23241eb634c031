"""Prometheus metrics that are made from a status at the moment when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Status = TypeVar("Status")


class Exposition(Generic[Status]):
    """Writes the metrics of one process: those of a status, and what is known of the process."""

    def __init__(self, families: Callable[[Status], Iterator[Metric]]) -> None:
        """`families` tells the metrics of a status."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._collector = _StatusCollector(families)
        self._registry.register(self._collector)

    def __call__(self, status: Status) -> bytes:
        """All of it in Prometheus' text format."""
        self._collector.status = status
        return generate_latest(self._registry)


class _StatusCollector(Collector, Generic[Status]):
    def __init__(self, families: Callable[[Status], Iterator[Metric]]) -> None:
        self.status: Status | None = None
        self._families = families

    def collect(self) -> Iterator[Metric]:
        if self.status is not None:  # it is asked once while it is registered
            yield from self._families(self.status)


class Families:
    """Makes metrics whose names begin alike."""

    def __init__(self, prefix: str) -> None:
        """`prefix` with its underscore."""
        self._prefix = prefix

    def gauge(self, name: str, text: str, value: float) -> Metric:
        """Tell a figure that goes up and down."""
        return GaugeMetricFamily(self._prefix + name, text, value=value)

    def gauge_by(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        """Tell one for each value of a label."""
        return _labelled(GaugeMetricFamily(self._prefix + name, text, labels=(label,)), values)

    def counter(self, name: str, text: str, value: float) -> Metric:
        """Tell a total, without the `_total` of its name."""
        return CounterMetricFamily(self._prefix + name, text, value=value)

    def counter_by(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        """Tell one for each value of a label."""
        return _labelled(CounterMetricFamily(self._prefix + name, text, labels=(label,)), values)


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]
) -> Metric:
    for value, figure in values.items():
        family.add_metric((value,), figure)
    return family
