"""Several seeder nodes on one network: who serves, and what happens when one dies."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from client_lib.durable import write_secret
from docs.demo.customers import buy
from docs.demo.services import Network, open_network, run, service
from tests.integration.seeder.rig import eventually
from tests.patience import PATIENCE_S
from tests.system.shop import RELEASE, digests, getting, kill, publish, write_album

MB = 1_000_000


@contextlib.asynccontextmanager
async def another_node(network: Network, node_id: str) -> AsyncIterator[tuple[trio.Process, Path]]:
    """A node beside the network's own, on the same origin; yields its process and data folder."""
    folder = network.licensing_data
    made = await run("albumswarm-licensing", "api-key", "seeder", "--id", node_id, "--data", folder)
    key, data = network.root / f"{node_id}.key", network.root / node_id
    write_secret(key, made.stdout)
    options = (
        *("--data", data, "--origin", network.seeder_data / "origin", *network.to_licensing),
        *("--api-key-file", key, "--tracker", network.tracker_url),
        *("--port", "0", "--listen-host", "127.0.0.1", "--upload-limit", str(4 * MB)),
    )
    async with service(network.root, "albumswarm-seeder", "serve", *options) as process:
        yield process, data


def uploaded_bytes(data: Path) -> int:
    return int(json.loads((data / "status.json").read_bytes())["uploaded_total_bytes"])


async def test_a_node_killed_in_the_middle_is_replaced_by_another(tmp_path: Path) -> None:
    album = write_album(tmp_path / "album", {f"{n:02d}.flac": 5 * MB for n in range(6)})
    with trio.fail_after(PATIENCE_S):
        async with (
            open_network(tmp_path / "net", seeder_upload_bytes_s=4 * MB) as network,
            another_node(network, "seeder-2") as (second, second_data),
        ):
            await publish(network, album)
            customers = [await buy(network, name, RELEASE) for name in ("one", "two")]
            async with getting(customers[0]) as a, getting(customers[1]) as b:
                await a.wait_event("progress", at_least=6 * MB)
                # Whichever serves: the other one only stands by until then.
                first_serves = uploaded_bytes(network.seeder_data) > uploaded_bytes(second_data)
                serving = network.processes["albumswarm-seeder"] if first_serves else second
                await kill(serving)
                finished = [await get.wait_event("finished") for get in (a, b)]
            survivor = second_data if first_serves else network.seeder_data
            assert uploaded_bytes(survivor) > 0
    for event in finished:
        assert digests(Path(event["folder"])) == digests(album)


async def test_every_customer_of_a_flash_crowd_finishes_when_one_node_of_three_is_killed(
    tmp_path: Path,
) -> None:
    album = write_album(tmp_path / "album", {f"{n:02d}.flac": 4 * MB for n in range(6)})
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(PATIENCE_S))
        network = await stack.enter_async_context(
            open_network(tmp_path / "net", seeder_upload_bytes_s=2 * MB)
        )
        nodes = [(network.processes["albumswarm-seeder"], network.seeder_data)]
        for node_id in ("seeder-2", "seeder-3"):
            nodes.append(await stack.enter_async_context(another_node(network, node_id)))
        await publish(network, album)
        customers = [await buy(network, f"customer-{n}", RELEASE) for n in range(4)]
        crowd = [await stack.enter_async_context(getting(customer)) for customer in customers]
        for get in crowd:
            await get.wait_event("progress", at_least=2 * MB)
        busiest, _ = max(nodes, key=lambda node: uploaded_bytes(node[1]))
        await kill(busiest)
        finished = [await get.wait_event("finished") for get in crowd]
        # A node writes its status every second.
        await eventually(lambda: sum(uploaded_bytes(data) > 0 for _, data in nodes) >= 2)
    for event in finished:
        assert digests(Path(event["folder"])) == digests(album)
