"""The seeder of a benchmark: our node's listener and policy on one release, without services."""

import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import trio

from client_lib.transport.listening import open_sockets
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.metainfo import Metainfo
from seeder.node import Policy
from seeder.origins.folder import FolderOrigin
from seeder.peers.listener import Listener
from seeder.peers.pace import Pace
from seeder.peers.swarm import Swarm
from seeder.piece_memory import PieceMemory
from tests.bench.swarm.customer import PORT
from tests.pki import utc_now

_ROUND_S = 0.5  # as `seeder.node`


async def main(order: dict[str, Any]) -> None:
    """Serve until the stop file appears, then write how many bytes left."""
    torrent = Metainfo.from_bytes(Path(order["torrent"]).read_bytes())
    swarm = Swarm(
        torrent,
        FolderOrigin(Path(order["folder"])),
        PieceMemory(128 << 20),
        Policy(order["policy"]).tuning(),
        rng=random.Random(1),
        on_problem=lambda name, problem: sys.exit(f"{name}: {problem}"),
    )

    async def find(name: str) -> Swarm | None:
        await trio.lowlevel.checkpoint()
        return swarm if name == torrent.info_hash.hex[:40] else None

    credential = Path(order["credential"] + ".pem")
    listener = Listener(
        mutual_server_context(credential, torrent.ssl_cert),
        find_swarm=find,
        is_revoked=lambda _: False,
        pace=Pace(0),
        clock=utc_now,
        max_connections=1_000,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, await open_sockets(order["address"], PORT))
        while not Path(order["stop"]).exists():
            swarm.act(trio.current_time(), spare=True)
            await trio.sleep(_ROUND_S)
        nursery.cancel_scope.cancel()
    Path(order["report"]).write_text(json.dumps(swarm.counters.uploaded_bytes))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(main, json.loads(sys.argv[1]))
