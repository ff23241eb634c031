"""A node whose web seed alone is reached, and visitors to it."""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import trio

from client_lib.transport.listening import open_sockets
from client_lib.transport.tls import client_context, mutual_server_context
from client_lib.wire.certificates import HostIdentity
from client_lib.wire.metainfo import Metainfo
from seeder.origins.origin import Origin
from seeder.peers.gate import Gate
from seeder.peers.pace import Pace
from seeder.status import NodeStatus
from seeder.web_seed.connection import Patience
from seeder.web_seed.hosting import Hosting
from seeder.web_seed.server import WebSeed
from tests.integration.seeder.rig import NodeRig, Serving, licence_leaf
from tests.pki import Leaf, utc_now


def keep(leaf: Leaf, path: Path) -> Path:
    path.write_text(leaf.key_pem + leaf.certificate_pem)
    return path


@dataclass
class Hosted:
    """A web seed that serves."""

    rig: NodeRig
    serving: Serving
    hosting: Hosting

    @property
    def web_seed(self) -> WebSeed:
        return self.hosting.web_seed

    @property
    def port(self) -> int:
        return self.hosting.port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/releases/"

    @property
    def status(self) -> NodeStatus:
        return self.serving.observer.status()

    @property
    def sent_bytes(self) -> int:
        """Payload, however one counts."""
        counts = {self.web_seed.sent_bytes, self.serving.uploaded_bytes, self.status.web_seed_bytes}
        (count,) = counts
        return count

    @contextlib.asynccontextmanager
    async def visitor(self, leaf: Leaf | None) -> AsyncIterator[httpx2.AsyncClient]:
        """An HTTP client with a certificate, or without."""
        ca_pem = self.rig.licensing.pki.ca_pem
        file = keep(leaf, self.rig.root / "visitor.pem") if leaf else None
        async with httpx2.AsyncClient(
            base_url=f"https://localhost:{self.port}", verify=client_context(ca_pem, file)
        ) as http:
            yield http

    @contextlib.asynccontextmanager
    async def raw(self, leaf: Leaf) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
        """A connection for words of one's own."""
        file = keep(leaf, self.rig.root / "visitor.pem")
        context = client_context(self.rig.licensing.pki.ca_pem, file)
        plain = await trio.open_tcp_stream("localhost", self.port)
        async with trio.SSLStream(plain, context, server_hostname="localhost") as stream:
            yield stream


@contextlib.asynccontextmanager
async def hosted(
    rig: NodeRig,
    *,
    clock: Callable[[], dt.datetime] = utc_now,
    origin: Origin | None = None,
    max_connections: int = 20,
    patience: Patience | None = None,
    bytes_s: int = 0,
) -> AsyncIterator[Hosted]:
    """A node with a web seed on a free port of localhost."""
    pki = rig.licensing.pki
    path = keep(pki.issue(HostIdentity("seeder-1", ("localhost",))), rig.root / "web-seed.pem")
    context = mutual_server_context(path, pki.ca_pem)
    sockets = await open_sockets("localhost", 0)
    port: int = sockets[0].getsockname()[1]
    async with rig.node(clock=clock, origin=origin) as serving, trio.open_nursery() as nursery:
        web_seed = WebSeed(
            context,
            find_swarm=serving.node.shelf.find,
            gate=Gate(lambda serial: serial in rig.revoked, serving.node.takes, clock),
            pace=Pace(bytes_s),
            max_connections=max_connections,
            patience=patience,
        )
        nursery.start_soon(web_seed.serve, sockets)
        hosting = Hosting(web_seed, sockets, port, context, serving.node.credential)
        serving.observer.web_seed = hosting
        yield Hosted(rig, serving, hosting)
        nursery.cancel_scope.cancel()


def path_of(torrent: Metainfo, file: str) -> str:
    return f"/releases/{torrent.name}/{file}"


def buyer(rig: NodeRig, torrent: Metainfo, number: int = 1) -> Leaf:
    return licence_leaf(rig.licensing.pki, torrent, number)
