import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.integration.tracker.processes import prepare, tracker_process
from tests.integration.tracker.rig import FakeLicensing, Reachable
from tests.pki import SwarmPki, licence_identity


async def prepared(tmp_path: Path) -> tuple[FakeLicensing, Path]:
    licensing, data = FakeLicensing(SwarmPki()), tmp_path / "data"
    await prepare(tmp_path, licensing, data / "worker-0", data / "worker-1")
    return licensing, data


async def test_a_killed_worker_comes_back_where_it_was_and_sigterm_ends_all(
    tmp_path: Path,
) -> None:
    licensing, data = await prepared(tmp_path)
    leaf = licensing.pki.issue(licence_identity())
    async with tracker_process(data, "--workers", "2") as tracker:
        victim = await tracker.log.until("worker-started", worker=0)
        ports = (await tracker.log.until("workers"))["ports"]
        assert ports[0] == victim["port"]
        shards = [Reachable(tmp_path, licensing.pki.ca_pem, port) for port in ports]
        for shard in shards:  # they share nothing: each sees its own swarm
            assert (await shard.announce(leaf, left_bytes=0)).complete == 1
        os.kill(victim["pid"], signal.SIGKILL)
        died = await tracker.log.until("worker-died", worker=0)
        assert died["returncode"] == -signal.SIGKILL
        assert (await shards[1].announce(leaf, left_bytes=0)).complete == 1
        back = await tracker.log.until("worker-started", worker=0)
        assert back["port"] == victim["port"]
        assert (await shards[0].announce(leaf, left_bytes=0)).complete == 1
        tracker.process.send_signal(signal.SIGTERM)
        await tracker.log.to_the_end()
        assert await tracker.process.wait() == 0
    stopped = [line for line in tracker.log.lines if line["event"] == "stopped"]
    assert {line["worker"] for line in stopped} == {0, 1}


async def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    _, data = await prepared(tmp_path)
    async with tracker_process(data, "--workers", "2") as tracker:
        await tracker.log.until("workers")
        tracker.process.kill()
        await tracker.log.to_the_end()  # which comes when nobody holds the pipe any more
    gone = [line for line in tracker.log.lines if line["event"] == "supervisor-gone"]
    assert {line["worker"] for line in gone} == {0, 1}


@pytest.mark.parametrize("prepared_workers", [[], ["worker-0"]])
async def test_a_worker_that_cannot_start_says_why_once_and_ends_all_with_that_code(
    tmp_path: Path, prepared_workers: list[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    await prepare(tmp_path, FakeLicensing(SwarmPki()), *(data / name for name in prepared_workers))
    async with tracker_process(data, "--workers", "2") as tracker:
        assert tracker.process.stderr is not None
        said = b""
        while more := await tracker.process.stderr.receive_some():
            said += more
        assert await tracker.process.wait() == 4
    (line,) = (line for line in said.decode().splitlines() if not line.startswith("{"))
    assert line.startswith("albumswarm-tracker: error: https://localhost:1: ")


@pytest.mark.parametrize("said", [b"rubbish\n", None])
async def test_a_worker_started_by_hand_says_what_to_do(said: bytes | None) -> None:
    done = await trio.run_process(
        [sys.executable, "-m", "tracker", "worker", "0"],
        stdin=subprocess.DEVNULL if said is None else said,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"error: a worker is not started by hand" in done.stderr
