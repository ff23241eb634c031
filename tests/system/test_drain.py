"""Taking a node out of the fleet while customers download from it."""

import json
from pathlib import Path
from typing import Any

import trio

from docs.demo.customers import buy
from docs.demo.services import open_network, run
from seeder.control import Drain, Stay, ask_node
from seeder.draining import DrainState
from tests.patience import PATIENCE_S
from tests.system.shop import RELEASE, digests, getting, publish, write_album
from tests.system.test_fleet import another_node, uploaded_bytes

MB = 1_000_000


def status_of(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "status.json").read_bytes())
    return found


async def drain(data: Path) -> DrainState:
    state = (await ask_node(data, Drain(900.0))).drain
    assert state is not None
    return state


async def test_a_node_drained_in_the_middle_hands_over_and_ends(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {f"{n:02d}.flac": 3 * MB for n in range(5)})
    slowly = ("--download-limit", str(MB))
    with trio.fail_after(PATIENCE_S):
        async with (
            open_network(tmp_path / "net", seeder_upload_bytes_s=4 * MB) as network,
            another_node(network, "seeder-2") as (second, second_data),
        ):
            await publish(network, album)
            early, late = [await buy(network, name, RELEASE) for name in ("early", "late")]
            async with getting(early, *slowly) as a:
                await a.wait_event("progress", at_least=3 * MB)
                served = uploaded_bytes(network.seeder_data), uploaded_bytes(second_data)
                drained_data, staying_data = network.seeder_data, second_data
                drained = network.processes["albumswarm-seeder"]
                if served[1] > served[0]:
                    drained_data, staying_data, drained = second_data, drained_data, second
                assert not (await drain(drained_data)).alone
                assert drained.poll() is None
                before = uploaded_bytes(staying_data)
                async with getting(late) as b:
                    await b.wait_event("progress", at_least=4 * MB)
                    # Only the early customer is with the node that drains, if that one is still
                    # there; and the other node serves both.
                    assert status_of(drained_data)["customers"] <= 1
                    assert uploaded_bytes(staying_data) > before
                    assert await drained.wait() == 0
                    finished = [await get.wait_event("finished") for get in (a, b)]
    for event in finished:
        assert digests(Path(event["folder"])) == digests(album)
    last = status_of(drained_data)
    assert (last["state"], last["drain"]["waiting_for"]) == ("stopped", 0)
    assert not (drained_data / "draining.json").exists()


async def test_the_only_node_finishes_its_customer_and_ends(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {"01.flac": 4 * MB, "02.flac": 4 * MB})
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=4 * MB) as network:
            await publish(network, album)
            early = await buy(network, "early", RELEASE)
            node, data = network.processes["albumswarm-seeder"], network.seeder_data
            async with getting(early, "--download-limit", str(MB)) as a:
                await a.wait_event("progress", at_least=MB)
                assert (await drain(data)).alone
                # Killed now, it would drain on when it is started again.
                assert (data / "draining.json").exists()
                assert (await ask_node(data, Stay())).drain is None
                assert not (data / "draining.json").exists()
                waiting = ("drain", "--data", data, "--wait", "--deadline", "10min")
                done = await run("albumswarm-seeder", *waiting)
                finished = await a.wait_event("finished")
                assert await node.wait() == 0
            assert b"It is the only node" in done.stdout
            assert done.stdout.endswith(b"has ended\n")
            again = await run("albumswarm-seeder", "drain", "--data", data, check=False)
            assert again.returncode == 4
            assert b"no seeder serves from this folder" in again.stderr
    assert digests(Path(finished["folder"])) == digests(album)
