"""`GET /metrics` for Prometheus, on a port of its own on loopback. An ASGI application."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from client_lib.service.exposition import MEDIA_TYPE
from licensing.metrics import Metrics
from licensing.services import Services

PATH = "/metrics"


@dataclass
class Exposition:
    """Answers with all that was counted, and how things stand now."""

    metrics: Metrics
    services: Services

    async def __call__(
        self,
        scope: Any,  # noqa: ANN401 - ASGI's
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        del receive
        status, body = 404, b"metrics are at /metrics\n"
        if scope["path"] == PATH and scope["method"] == "GET":
            await self._look()
            status, body = 200, self.metrics.exposition()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _look(self) -> None:
        services, metrics = self.services, self.metrics
        obstacles = await services.readiness.obstacles(services.clock())
        metrics.set_ready(ready=not obstacles)
        metrics.set_expiry("ca", services.authority.certificate.not_valid_after_utc)
        signer = services.readiness.signer.credential.certificate
        metrics.set_expiry("signer", signer.not_valid_after_utc)
        crl = services.revocation_lists.newest
        if crl is not None:
            metrics.set_expiry("crl", crl.next_update)
        for store, keys in services.readiness.issuers.keys.items():
            metrics.set_store_keys(store, len(keys))
