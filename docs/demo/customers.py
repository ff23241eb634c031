"""Customers: each buys, redeems and downloads with the real command, in folders of their own."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from client_lib.wire.licensing_api import Library, LicenceRecord
from docs.demo.result import CustomerResult
from docs.demo.services import DemoError, Network, command, run

OnProgress = Callable[[str, int, int, int], None]
"""Told of a customer: name, verified bytes, and bytes from seeders and from customers."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer who has paid and redeemed."""

    name: str
    token: str
    licence: LicenceRecord
    data: Path
    music: Path


async def buy(network: Network, name: str, release: str) -> Customer:
    """Mint a payment token as the store does after a payment, and redeem it."""
    minted = await run(
        *("albumswarm-licensing", "mint-token", "--data", network.licensing_data),
        *("--customer", name, "--item", release, "--amount", "1199", "--currency", "EUR"),
    )
    token = minted.stdout.decode().strip()
    data = network.root / "customers" / name
    line = command("albumswarm", "redeem", "--json", "--data", data, *network.to_licensing)
    done = await trio.run_process(
        line, stdin=token.encode(), capture_stdout=True, capture_stderr=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"{name} could not redeem: {done.stderr.decode().strip()}")
    licence = msgspec.json.decode(done.stdout, type=Library).licences[0]
    return Customer(name, token, licence, data, network.root / "music" / name)


def get_line(customer: Customer, upload_bytes_s: int) -> list[str]:
    """The command with which a customer downloads."""
    return command(
        *("albumswarm", "get", "--all", "--into", customer.music, "--data", customer.data),
        *("--json", "--listen-host", "127.0.0.1", "--limit-local-peers"),
        *("--upload-limit", str(upload_bytes_s)),
    )


async def download(
    customer: Customer, published: Path, upload_bytes_s: int, on_progress: OnProgress
) -> CustomerResult:
    """Run `albumswarm get`, follow its events, compare the files with the published ones."""
    started = time.monotonic()
    finished: dict[str, object] = {}
    process = await trio.lowlevel.open_process(
        get_line(customer, upload_bytes_s), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if process.stdout is None or process.stderr is None:
        raise DemoError("no pipes")
    pending = b""
    async with process.stdout:
        async for chunk in process.stdout:
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["event"] == "progress":
                    on_progress(
                        customer.name,
                        event["verified_bytes"],
                        event["from_seeders_bytes"],
                        event["from_customers_bytes"],
                    )
                if event["event"] == "finished":
                    finished = event
    error = b"".join([chunk async for chunk in process.stderr]).decode().strip()
    if await process.wait() != 0 or not finished:
        raise DemoError(f"{customer.name}: exit {process.returncode}: {error}; {finished}")
    same = await trio.to_thread.run_sync(_same_files, published, Path(str(finished["folder"])))
    return CustomerResult(
        licence=customer.licence.licence_id,
        seconds=round(time.monotonic() - started, 2),
        bytes_from_seeders=int(str(finished["from_seeders_bytes"])),
        bytes_from_customers=int(str(finished["from_customers_bytes"])),
        verified=same,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _same_files(published: Path, received: Path) -> bool:
    return _digests(published) == _digests(received)


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "checksums.sha256":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            digests[path.relative_to(folder).as_posix()] = digest
    return digests
