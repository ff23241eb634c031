"""Before and after every request: limits, the access log, metrics. An ASGI application.

Around Litestar, not inside: what has no route is limited, logged and counted as well.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from client_lib.wire.problem import MEDIA_TYPE, Problem, ProblemType, encode_problem
from licensing.http.problems import STATUSES
from licensing.limits import LimitsConfig, Network, TokenBuckets, asker_key, client_host
from licensing.metrics import Metrics

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

UNLIMITED_PATHS = frozenset({"/healthz"})
UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
# A wrong secret, token, id, body or path. Not 403 and 409: those are answers about what is so.
_FAILURES = frozenset({400, 401, 404, 405, 408, 413, 422})
_PROVEN = 100_000
_SENTENCES = {
    "address": "too many requests from this address",
    "device": "too many requests with this device secret or API key",
    "failures": "too many requests that failed",
}


class Limits:
    """Who may ask now. Addresses and devices are limited apart, and failures harder."""

    def __init__(self, config: LimitsConfig, *, clock: Callable[[], float]) -> None:
        """Start with nobody known. `clock`: seconds, monotonic."""
        self._addresses = TokenBuckets(config.address_per_s, config.address_burst, clock=clock)
        self._devices = TokenBuckets(config.device_per_s, config.device_burst, clock=clock)
        self._failures = TokenBuckets(config.failures_per_s, config.failures_burst, clock=clock)
        self._proven: OrderedDict[bytes, None] = OrderedDict()

    def refusal(self, address: str, device: bytes | None) -> tuple[str, float] | None:
        """Which limit stands against a request, and for how many seconds; None: it may go on."""
        # A device that did business here answers for itself, not for its neighbours behind NAT.
        culprit = device if device in self._proven else address
        if (wait_s := self._failures.wait_s(culprit)) > 0:
            return "failures", wait_s
        if (wait_s := self._addresses.take(address)) > 0:
            return "address", wait_s
        if device is not None and (wait_s := self._devices.take(device)) > 0:
            return "device", wait_s
        return None

    def learn(self, address: str, device: bytes | None, method: str, status: int) -> None:
        """Take note of how a request ended."""
        if status in _FAILURES:
            self._failures.take(device if device in self._proven else address)
        elif device is not None and method == "POST" and status in (200, 201):
            self._proven[device] = None
            self._proven.move_to_end(device)
            if len(self._proven) > _PROVEN:
                self._proven.popitem(last=False)


@dataclass
class Access:
    """Wraps the API."""

    api: Application
    limits: Limits
    metrics: Metrics
    proxies: tuple[Network, ...] = ()
    timer: Callable[[], float] = field(default=time.perf_counter)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        """Answer one request."""
        began = self.timer()
        headers = _headers(scope)
        address = asker_key(
            client_host(scope["client"][0], headers.get(b"x-forwarded-for", ""), self.proxies)
        )
        device = _device(headers.get(b"authorization", ""))
        if scope["path"] not in UNLIMITED_PATHS:
            refused = self.limits.refusal(address, device)
            if refused is not None:
                self.metrics.count_limited(refused[0])
                await _refuse(*refused, send)
                self._note(scope, address, 429, began, limit=refused[0])
                return
        status = 0

        async def watched(message: Any) -> None:  # noqa: ANN401 - ASGI's
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.api(scope, receive, watched)
        finally:
            if scope["path"] not in UNLIMITED_PATHS:
                self.limits.learn(address, device, scope["method"], status)
            self._note(scope, address, status, began)

    def _note(
        self, scope: Mapping[str, Any], address: str, status: int, began: float, **more: str
    ) -> None:
        """Count and log: no headers, no query, no body, and no path that we do not know.

        So nothing secret: a token in the wrong place is in none of what is left.
        """
        seconds = self.timer() - began
        template = str(scope.get("path_template") or "")
        route = template or UNMATCHED
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.count_answer(method, route, status, seconds)
        structlog.get_logger().info(
            "request",
            method=method,
            path=scope["path"] if template and status < 400 else route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            address=address,
            **more,
        )


def _headers(scope: Mapping[str, Any]) -> dict[bytes, str]:
    wanted = (b"authorization", b"x-forwarded-for")
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in wanted:
            # Repeated fields are one list (RFC 9110, section 5.3).
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _device(authorization: str) -> bytes | None:
    """What counts as one device: a hash, so that no secret is kept."""
    if not authorization:
        return None
    return hashlib.blake2b(authorization.encode(), digest_size=16).digest()


async def _refuse(limit: str, wait_s: float, send: Send) -> None:
    status, title = STATUSES[ProblemType.TOO_MANY_REQUESTS]
    problem = Problem(
        type=ProblemType.TOO_MANY_REQUESTS.value,
        title=title,
        status=status,
        detail=f"{_SENTENCES[limit]}; ask again in {math.ceil(wait_s)} s",
        reason=limit,
    )
    body = encode_problem(problem)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(math.ceil(wait_s)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
