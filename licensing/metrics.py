"""Prometheus metrics: few names, and labels whose values are few whatever clients send."""

import datetime as dt
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_PREFIX = "albumswarm_licensing_"
_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """What the service counts. `route` is a path template of ours, or "unmatched"."""

    def __init__(self) -> None:
        """Start at zero, in a registry of its own."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            _PREFIX + "requests",
            "Answers by method, route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            _PREFIX + "request_seconds",
            "From the head of a request to its answer.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._limited = Counter(
            _PREFIX + "limited",
            "Requests refused with 429, by what was exceeded.",
            ("limit",),
            registry=self._registry,
        )
        self._expiry = Gauge(
            _PREFIX + "expiry_timestamp_seconds",
            "When a certificate of ours, or the CRL, ends.",
            ("what",),
            registry=self._registry,
        )
        self._keys = Gauge(
            _PREFIX + "store_keys",
            "Keys that are known of a store.",
            ("store",),
            registry=self._registry,
        )
        self._ready = Gauge(_PREFIX + "ready", "Whether /readyz says so.", registry=self._registry)
        # Looked up once: `labels()` costs more than the counting itself.
        self._by_answer: dict[tuple[str, str, int], Any] = {}
        self._by_route: dict[str, Any] = {}

    def count_answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. `method` is one of HTTP's, or "other"."""
        answer = (method, route, status)
        if answer not in self._by_answer:
            self._by_answer[answer] = self._requests.labels(method, route, str(status))
        if route not in self._by_route:
            self._by_route[route] = self._seconds.labels(route)
        self._by_answer[answer].inc()
        self._by_route[route].observe(seconds)

    def count_limited(self, limit: str) -> None:
        """Count a request that was refused because it exceeded `limit`."""
        self._limited.labels(limit).inc()

    def set_expiry(self, what: str, when: dt.datetime) -> None:
        """Tell when something of ours ends."""
        self._expiry.labels(what).set(when.timestamp())

    def set_store_keys(self, store: str, count: int) -> None:
        """Tell how many keys of a store are known."""
        self._keys.labels(store).set(count)

    def set_ready(self, *, ready: bool) -> None:
        """Tell what /readyz says."""
        self._ready.set(int(ready))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
