"""What an operator sees of a node that serves: status, metrics, control socket."""

import json
import stat
import urllib.error
import urllib.request
from functools import partial

import trio

from client_lib.service.control import CONTROL_SOCKET, ask_control
from client_lib.wire.metainfo import Metainfo
from seeder.status import read_status, totals_so_far
from tests.integration.seeder.rig import HOST, customer, eventually, make_album
from tests.integration.seeder.test_commands import NAME, Shop, seeder, shop, status_of
from tests.patience import PATIENCE_S

__all__ = ["shop"]


async def scraped(port: int, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        url = f"http://127.0.0.1:{port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    return await trio.to_thread.run_sync(fetch)


async def test_a_download_is_seen_in_status_and_metrics(shop: Shop) -> None:
    (shop.root / "node.toml").write_text(
        'metrics_listen = "localhost:0"\nprice_per_gb = 1000.0\ncurrency = "USD"\n'
    )
    album = make_album(shop.root / "Album")
    with trio.fail_after(3 * PATIENCE_S):
        await shop.publish(album)
        async with shop.serving("--config", shop.root / "node.toml") as serving:
            event = await serving.event("serving")
            port = int(event["metrics"].rpartition(":")[2])
            await serving.event("catalogue read", position=1)
            torrent, leaf = await shop.buy(NAME, shop.root)
            size_bytes = Metainfo.from_bytes(torrent).size_bytes
            async with customer(torrent, leaf, shop.root / "c") as (_, own):
                own.connect(HOST, event["port"])
                await own.wait_complete()
                await eventually(lambda: status_of(shop)["uploaded_total_bytes"] >= size_bytes)
                status = read_status(shop.data)
                table = await seeder("status", "--data", shop.data)
                text = (await scraped(port, "/metrics"))[1]
            other = await scraped(port, "/")
            control = shop.data / CONTROL_SOCKET
            assert stat.S_IMODE(control.stat().st_mode) == 0o600
            for hostile in (b"", b"{}", b'{"type":"drain","deadline_s":-1}', b"x" * 4_000):
                answer = await ask_control(control, hostile + b"\n", max_bytes=10_000)
                assert json.loads(answer)["error"]
                assert json.loads(answer)["drain"] is None
            # Nobody but this node is in the fleet, and no customer is there: it ends at once.
            drained = await seeder("drain", "--data", shop.data, "--wait")
            assert await serving.process.wait() == 0
    (release,) = status.releases
    assert (release.name, release.gained_bytes, release.offload) == (NAME, size_bytes, 0.0)
    assert (status.customers, status.loaded_releases, status.drain) == (1, 1, None)
    assert status.cost.total == round(size_bytes / 1e6, 2)
    assert status.memory.misses > 0
    assert status.crl.current
    assert status.cache is None
    assert table[0] == 0
    assert str(NAME) in table[1]
    assert "USD" in table[1]
    prefix = "albumswarm_seeder_"
    for name, value in {
        "uploaded_bytes_total": size_bytes,
        "customers": 1,
        "leechers": 0,
        'refused_connections_total{reason="revoked"}': 0,
        "failed_hashes_total": 0,
        "draining": 0,
        "crl_current": 1,
        "trackers_away": 1,
    }.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{prefix}{name} "))
        assert float(line.split()[1]) == value
    assert other == (404, "")
    assert drained[0] == 0
    assert drained[1].endswith("seeder-1 has ended\n")
    assert not (shop.data / CONTROL_SOCKET).exists()
    assert len(await trio.to_thread.run_sync(partial(list, shop.data.glob("draining*")))) == 0
    # Killed before it wrote its totals, it would count on from its status.
    assert totals_so_far(shop.data) == {NAME: size_bytes}
    (shop.data / "uploads.json").unlink()
    assert totals_so_far(shop.data) == {NAME: size_bytes}
