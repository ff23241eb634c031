"""`make demo`: sell an album, deliver it through a sealed swarm, and try to steal it."""

import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter
from ephemeral_port_reserve import reserve
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from client_lib.console import new_app, print_json, run_app
from client_lib.durable import read_file
from client_lib.errors import DownloadError, UsageError
from client_lib.nursery import open_quiet_nursery
from client_lib.wire.infohash import InfoHash
from docs.demo import album, report
from docs.demo.announces import try_another_id, try_revoked
from docs.demo.attacks import Forger, Target, try_certificate, try_plain
from docs.demo.customers import Customer, buy, download
from docs.demo.result import CustomerResult, DemoResult, RefusedResult, ReleaseResult
from docs.demo.services import DemoError, Network, command, open_network, run
from docs.demo.shaping import CUSTOMER_UPLOAD_BYTES_S, SEEDER_UPLOAD_BYTES_S, in_words
from docs.demo.tokens import bad_tokens, try_token

RELEASE_ID, FORMAT = "demo-0001", "wav-24-96"
RELEASE = f"{RELEASE_ID}.{FORMAT}"
_COUNTERS_S = 2.5  # the seeder rewrites its counters every second

app = new_app("demo", "Sell an album and deliver it through a sealed swarm, on this machine.", "1")


@app.default
async def main(
    *,
    album_folder: Annotated[
        Path | None, Parameter(name="--album", help="An album folder of your own.")
    ] = None,
    customers: Annotated[int, Parameter(help="How many customers start together.")] = 3,
    json: Annotated[bool, Parameter(help="End with one line of JSON.", negative="")] = False,
    keep: Annotated[
        Path | None, Parameter(help="Keep everything in this new folder, logs included.")
    ] = None,
) -> None:
    """Sell an album and deliver it through a sealed swarm, on this machine."""
    if not 2 <= customers <= 20:
        raise UsageError(f"--customers {customers}: 2 to 20 (attacks need a thief and a victim)")
    console = Console(stderr=True, highlight=False)
    with contextlib.ExitStack() as stack:
        if keep is None:
            where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="albumswarm-")))
        else:
            keep.mkdir(mode=0o700, parents=True)
            where = keep.absolute()
        try:
            result = await _demo(where, album_folder, customers, console)
        except DemoError as error:
            raise DownloadError(str(error)) from error
    report.show(result, console)
    if json:
        print_json(result)
    if faults := result.faults():
        raise DownloadError("; ".join(faults))


async def _demo(where: Path, album_folder: Path | None, count: int, console: Console) -> DemoResult:
    if album_folder is None:
        album_folder = where / "album"
        console.print("[bold]Synthesising[/] three 24-bit tracks with tags and a cover …")
        await trio.to_thread.run_sync(album.synthesise, album_folder)
    async with open_network(where, seeder_upload_bytes_s=SEEDER_UPLOAD_BYTES_S) as network:
        console.print("[bold]Running[/] licensing, tracker and seeder, with TLS, on loopback")
        published = await _publish(network, album_folder)
        console.print(f"[bold]Published[/] {RELEASE}")
        buyers = [await buy(network, f"customer-{n}", RELEASE) for n in range(1, count + 1)]
        console.print(f"[bold]Sold[/] to {count} customers; {in_words()}")
        delivered = await _deliver(buyers, published, console)
        await trio.sleep(_COUNTERS_S)
        seeder_bytes = network.seeder_bytes()
        console.print("[bold]Attacking[/] a live seeder and a live customer …")
        refused = await _attack(network, buyers, where / "attackers")
    size = buyers[0].licence.size_bytes
    total = size * len(delivered)
    return DemoResult(
        release=ReleaseResult(RELEASE, size),
        customers=tuple(delivered),
        seeder_bytes=seeder_bytes,
        delivered_bytes=total,
        offload=round(1 - seeder_bytes / total, 4) if total else 0.0,
        refused=tuple(refused),
    )


async def _publish(network: Network, folder: Path) -> Path:
    """Publish with the real command; returns the seeder's copy."""
    origin = network.seeder_data / "origin"
    await run(
        *("albumswarm-seeder", "publish", folder, "--release", RELEASE_ID, "--format", FORMAT),
        *("--data", network.seeder_data, "--origin", origin, *network.to_licensing),
        *("--api-key-file", network.root / "publisher.key"),
    )
    return origin / RELEASE


async def _deliver(
    buyers: list[Customer], published: Path, console: Console
) -> list[CustomerResult]:
    """All customers download at the same time."""
    results: dict[str, CustomerResult] = {}
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        TransferSpeedColumn(),
        TextColumn("{task.fields[split]}", style="dim"),
        console=console,
    ) as bars:
        tasks: dict[str, TaskID] = {
            buyer.name: bars.add_task(buyer.name, total=buyer.licence.size_bytes, split="")
            for buyer in buyers
        }

        def on_progress(name: str, done: int, from_seeders: int, from_customers: int) -> None:
            share = 100 * from_customers // max(1, from_seeders + from_customers)
            bars.update(tasks[name], completed=done, split=f"{share}% from customers")

        async def one(buyer: Customer) -> None:
            results[buyer.name] = await download(
                buyer, published, CUSTOMER_UPLOAD_BYTES_S, on_progress
            )

        async with open_quiet_nursery() as nursery:
            for buyer in buyers:
                nursery.start_soon(one, buyer)
    return [results[buyer.name] for buyer in buyers]


async def _attack(network: Network, buyers: list[Customer], scratch: Path) -> list[RefusedResult]:
    first, last = buyers[0], buyers[-1]
    licence_folder = first.data / "licences" / first.licence.licence_id
    async with _seeding_customer(network, first) as port:
        target = Target(
            torrent=read_file(licence_folder / "album.torrent"),
            info_hash=InfoHash.from_hex(first.licence.info_hash),
            peers=(("127.0.0.1", network.seeder_port), ("127.0.0.1", port)),
        )
        name, swarm = first.licence.name, target.info_hash
        forger = Forger(network.licensing_data)
        impostors = {
            "certificate for another release": forger.another_release(swarm),
            "another CA's certificate": forger.another_ca(name, swarm),
            "expired certificate": forger.expired(name, swarm),
        }
        before = network.seeder_bytes()
        refused = [await try_plain("plain (non-TLS) peer", target)]
        for case, impostor in impostors.items():
            refused.append(await try_certificate(case, impostor, target, scratch))
        case = "another customer's licence id"
        refused.append(await try_another_id(network, case, last, first, swarm))
        for case, token in bad_tokens(network, RELEASE, first).items():
            refused.append(await try_token(network, case, token, scratch))
        case = "revoked licence at the tracker"
        refused.append(await try_revoked(network, case, last, target, scratch))
        await trio.sleep(_COUNTERS_S)
        if network.seeder_bytes() != before:
            raise DemoError(f"the seeder sent {network.seeder_bytes() - before} bytes to attackers")
    return refused


@contextlib.asynccontextmanager
async def _seeding_customer(network: Network, customer: Customer) -> AsyncIterator[int]:
    """A customer who goes on giving while the block lasts; yields the port."""
    port = reserve()
    line = command(
        *("albumswarm", "seed", "--data", customer.data, "--port", str(port), "--json"),
        *("--listen-host", "127.0.0.1"),
    )
    process = await trio.lowlevel.open_process(
        line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    if process.stdout is None:
        raise DemoError("no pipe")
    try:
        async with open_quiet_nursery() as nursery:
            with trio.fail_after(20):
                seen = b""
                while b'"finished"' not in seen:  # already there: it is in the swarm
                    chunk = await process.stdout.receive_some()
                    if not chunk:
                        raise DemoError("the seeding customer stopped")
                    seen += chunk
            nursery.start_soon(_drain, process.stdout)
            yield port
            nursery.cancel_scope.cancel()
    finally:
        if process.poll() is None:
            process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(10):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()


async def _drain(pipe: trio.abc.ReceiveStream) -> None:
    """Keep the pipe from filling up."""
    async for _ in pipe:
        pass


if __name__ == "__main__":
    run_app(app)
