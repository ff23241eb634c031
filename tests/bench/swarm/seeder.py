"""The seeder of a benchmark: our node's listener and policy on some releases, without services.

Or its web seed alone.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from client_lib.transport.listening import open_sockets
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.metainfo import Metainfo
from seeder.node import Policy
from seeder.origins.folder import FolderOrigin
from seeder.peers.gate import Gate
from seeder.peers.listener import Listener
from seeder.peers.pace import Pace
from seeder.peers.swarm import Swarm
from seeder.piece_memory import PieceMemory
from seeder.web_seed.server import WebSeed
from tests.bench.swarm.process import PEER_PORT, Diary, say_ready, wait_start
from tests.pki import utc_now

_ROUND_S = 0.5  # as `seeder.node`
_CACHE_BYTES = 256 << 20


async def main(order: dict[str, Any]) -> None:
    """Serve until the stop file appears, then report how many bytes left."""
    torrents = [Metainfo.from_bytes(Path(path).read_bytes()) for path in order["torrents"]]
    swarms = dict(_swarms(order, torrents))

    async def find(name: str) -> Swarm | None:
        await trio.lowlevel.checkpoint()
        return swarms.get(name)

    pace = Pace(order["upload_limit_bytes_s"])
    gate = Gate(lambda _: False, lambda _: True, utc_now)
    web_seed_port, ca = order.get("web_seed_port"), torrents[0].ssl_cert
    serving: Listener | WebSeed
    if web_seed_port is None:
        context = mutual_server_context(Path(order["credential"] + ".pem"), ca)
        serving = Listener(context, find_swarm=find, gate=gate, pace=pace, max_connections=1_000)
    else:
        context = mutual_server_context(Path(order["host"] + ".pem"), ca)
        serving = WebSeed(context, find_swarm=find, gate=gate, pace=pace, max_connections=1_000)

    def uploaded_bytes() -> int:
        if isinstance(serving, WebSeed):
            return serving.sent_bytes
        return sum(swarm.counters.uploaded_bytes for swarm in swarms.values())

    async with trio.open_nursery() as nursery:
        port = web_seed_port or PEER_PORT
        nursery.start_soon(serving.serve, await open_sockets(order["address"], port))
        say_ready()
        diary = Diary(order, await trio.to_thread.run_sync(wait_start, order))
        while not diary.over():
            for swarm in swarms.values():
                swarm.act(trio.current_time(), pace, spare=pace.spare)
            if diary.due():
                diary.note(uploaded_bytes())
            await trio.sleep(_ROUND_S)
        nursery.cancel_scope.cancel()
    diary.close(uploaded_bytes())


def _swarms(order: dict[str, Any], torrents: list[Metainfo]) -> Iterator[tuple[str, Swarm]]:
    origin, memory = FolderOrigin(Path(order["folder"])), PieceMemory(_CACHE_BYTES)
    for torrent in torrents:
        yield (
            torrent.info_hash.hex[:40],
            Swarm(
                torrent,
                origin,
                memory,
                Policy(order["policy"]).tuning(),
                rng=random.Random(1),
                on_problem=lambda name, problem: sys.exit(f"{name}: {problem}"),
            ),
        )


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
