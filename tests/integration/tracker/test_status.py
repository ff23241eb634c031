"""What an operator sees of a running tracker: control socket, command, metrics."""

import json
import socket
import sys
from pathlib import Path

import pytest
import trio

from client_lib.errors import AnnounceRefused, UnreachableError
from client_lib.wire.certificates import SeederIdentity
from tests.integration.tracker.processes import prepare, tracker_process
from tests.integration.tracker.rig import FakeLicensing, running_tracker
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki, licence_identity
from tracker.operating.control import tracker_status


async def run_status(*arguments: str) -> tuple[int, str, str]:
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "tracker", "status", *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_the_command_shows_a_running_tracker(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(rig.pki.issue(SeederIdentity("origin-1")), left_bytes=0)
        await rig.announce(rig.pki.issue(licence_identity()), left_bytes=7)
        refused = rig.pki.issue(licence_identity(number=2))
        with pytest.raises(AnnounceRefused, match=r"^other-licence"):
            await rig.announce(refused, member_id="somebody-else")
        data = str(tmp_path / "tracker")
        code, out, error = await run_status("--data", data, "--json")
        assert (code, error) == (0, "")
        status = json.loads(out)
        assert status["workers"] == [f"localhost:{rig.port}"]
        assert status["peers"] == {"leechers": 1, "complete": 0, "central": 1}
        assert status["announces"] == {"licence": 1, "seeder": 1}
        assert status["refusals"] == {"other-licence": 1}
        assert status["crl"]["current"] is True
        assert status["crl"]["age_s"] < PATIENCE_S
        code, out, error = await run_status("--data", data)
        assert (code, error) == (0, "")
        assert "1 leechers, 0 complete, 1 central" in out
        assert "other-licence" in out
        control = tmp_path / "tracker" / "control.sock"
        assert control.stat().st_mode & 0o777 == 0o600
    assert not control.exists()


async def test_where_nobody_serves_is_one_clear_line(tmp_path: Path) -> None:
    # What a killed worker leaves is nobody, too.
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "control.sock"))
    code, out, error = await run_status("--data", str(tmp_path))
    assert (code, out) == (4, "")
    (line,) = error.splitlines()
    assert "no tracker serves from this folder" in line


async def test_a_worker_takes_over_the_socket_of_a_killed_one_in_a_deep_folder(
    tmp_path: Path,
) -> None:
    deep = tmp_path / ("d" * 120)  # longer than the name of a Unix socket may be
    (deep / "tracker").mkdir(parents=True)
    (deep / "tracker" / "control.sock").write_bytes(b"")
    async with running_tracker(deep, FakeLicensing(SwarmPki())) as rig:
        status = await tracker_status(deep / "tracker")
        assert status.workers == (f"localhost:{rig.port}",)
    with pytest.raises(UnreachableError):
        await tracker_status(deep / "tracker")


async def scraped(port: int, path: str) -> tuple[bytes, str]:
    async with await trio.open_tcp_stream("localhost", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = bytearray()
        async for chunk in stream:
            received += chunk
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body.decode()


async def test_metrics_and_all_workers_of_a_supervisor(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    data = tmp_path / "data"
    await prepare(tmp_path, licensing, data / "worker-0", data / "worker-1")
    async with tracker_process(
        data, "--workers", "2", "--metrics-listen", "localhost:0"
    ) as running:
        serving = [await running.log.until("serving") for _ in range(2)]
        await running.log.until("workers")
        status = await tracker_status(data)
        assert len(status.workers) == 2
        assert status.silent == ()
        for line in serving:
            port = int(line["metrics"].rpartition(":")[2])
            first, text = await scraped(port, "/metrics")
            assert first == b"HTTP/1.1 200 OK"
            assert 'albumswarm_tracker_peers{standing="leecher"} 0.0' in text
            assert "albumswarm_tracker_crl_current 1.0" in text
            assert (await scraped(port, "/"))[0] == b"HTTP/1.1 404 Not Found"
