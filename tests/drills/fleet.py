"""Licensing processes that are killed and started again, and requests that survive it."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import trio

from client_lib.transport.tls import client_context
from client_lib.wire.licence import DeviceSecret
from tests.integration.licensing.commands import serving
from tests.integration.licensing.running import Running

_OUT_OF_ORDER = (429, 503)


@dataclass(frozen=True)
class Ordered:
    """The answer that came in the end, and how often it was asked for."""

    answer: httpx2.Response
    attempts: int


@dataclass
class Fleet:
    """`size` processes that serve from the folder `data`, each started again when it dies."""

    data: Path
    size: int
    _processes: dict[int, tuple[trio.Process, Running]] = field(default_factory=dict)
    _changed: trio.Event = field(default_factory=trio.Event)
    _last: Running | None = None
    _clients: dict[tuple[str, str], httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def any_service(self) -> Running:
        """A service that runs, or ran: for its folder and configuration."""
        assert self._last is not None
        return self._last

    async def run(self, slot: int) -> None:
        """Keep process number `slot` running, for ever."""
        while True:
            async with serving(self.data) as (process, service):
                self._last = service
                self._processes[slot] = process, service
                self._change()
                await process.wait()
                del self._processes[slot]
                self._change()

    async def kill(self, slot: int, after_s: float) -> None:
        """Wait until all serve, and so long again, and kill one."""
        while len(self._processes) < self.size:
            await self._changed.wait()
        await trio.sleep(after_s)
        self._processes[slot][0].kill()
        while slot in self._processes:
            await self._changed.wait()

    async def running(self) -> Running:
        """A service that runs."""
        while not self._processes:
            await self._changed.wait()
        return next(iter(self._processes.values()))[1]

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def send(
        self,
        secret: DeviceSecret,
        rng: random.Random,
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401
    ) -> Ordered:
        """Send a request to any process, again and again until one answers."""
        attempts = 0
        while True:
            await self.running()
            process, service = rng.choice(list(self._processes.values()))
            changed = self._changed
            attempts += 1
            try:
                answer = await self._client(service, secret).request(method, path, **request)
                if answer.status_code not in _OUT_OF_ORDER:
                    return Ordered(answer, attempts)
                await trio.sleep(0.05)
            except (httpx2.HTTPError, OSError):
                # The only excuse for no answer is that it died.
                with trio.move_on_after(5):
                    await process.wait()
                assert process.returncode is not None, f"{service.address} does not answer"
                with trio.move_on_after(30):
                    await changed.wait()

    async def aclose(self) -> None:
        """Close the customers' connections."""
        with trio.CancelScope(shield=True):
            for client in self._clients.values():
                await client.aclose()

    def _client(self, service: Running, secret: DeviceSecret) -> httpx2.AsyncClient:
        key = service.address, secret.bearer
        if key not in self._clients:
            self._clients[key] = httpx2.AsyncClient(
                base_url=service.url,
                verify=client_context(service.ca_pem),
                headers={"Authorization": f"Bearer {secret.bearer}"},
                timeout=60,
                trust_env=False,
            )
        return self._clients[key]
