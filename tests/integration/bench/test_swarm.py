"""`make bench-swarm` in small: every variant completes, and nothing is left behind."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.swarm.network import open_lines
from tests.bench.swarm.scenario import SMOKE, VARIANTS

_ROOT = Path(__file__).parents[3]
_NEEDED = ("ip", "tc", "nginx", "curl")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, _NEEDED)),
        reason=f"needs root and {', '.join(_NEEDED)}",
    ),
]


def bench(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.swarm", "--into", str(folder / "bench")]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=_ROOT,
        env=os.environ | {"TMPDIR": str(folder), "PATH": path},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def left_behind(pid: int) -> list[str]:
    places = (Path("/run/netns"), Path("/etc/netns"), Path("/sys/class/net"))
    return [str(path) for place in places for path in place.glob(f"asb{pid}[nbv]*")]


def still_running(folder: Path) -> list[str]:
    """Processes that were ordered to do something in that folder."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if str(folder) in path.read_text(errors="replace"):
                found.append(path.parent.name)
    return found


def test_every_variant_of_a_small_crowd_completes_and_is_told(tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    with bench(tmp_path, "--scenario", "smoke", "--plots", str(plots)) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert left_behind(process.pid) == []
    told = {
        figure["name"]: figure["value"]
        for figure in json.loads((tmp_path / "bench" / "swarm.json").read_text())["figures"]
    }
    for variant in VARIANTS:
        assert told[f"smoke, {variant}: last finisher"] >= told["smoke: bound of Kumar and Ross"]
        assert told[f"smoke, {variant}: copies"] >= 1
    assert told["smoke, nginx: copies"] == 2
    assert told["smoke, thrifty: copies"] < told["smoke, nginx: copies"]
    assert [path.name for path in plots.iterdir()] == ["swarm-smoke.svg"]


def test_a_run_adds_to_earlier_ones_and_keeps_traces_when_asked(tmp_path: Path) -> None:
    kept = tmp_path / "bench" / "swarm-outcomes.json"
    kept.parent.mkdir()
    earlier = {"finished_s": [7.0, 9.0], "seeder_bytes": 4_000_000, "slowest_bytes_s": None}
    kept.write_text(json.dumps({"smoke": {"fast": [earlier], "nginx": [earlier]}}))
    arguments = ("--scenario", "smoke", "--variant", "fast", "--add", "--traces")
    with bench(tmp_path, *arguments) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    outcomes = json.loads(kept.read_text())["smoke"]
    assert [len(outcomes["fast"]), len(outcomes["nginx"])] == [2, 1]
    assert outcomes["fast"][0]["finished_s"] == earlier["finished_s"]
    traces = kept.parent / "traces" / "smoke, fast, 1"
    assert sorted(path.name for path in traces.iterdir()) == [f"report-{n}.json" for n in range(3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_removes_its_namespaces(tmp_path: Path, number: signal.Signals) -> None:
    with bench(tmp_path, "--scenario", "smoke", "--variant", "thrifty") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("smoke, thrifty: begins")
        assert left_behind(process.pid) != []
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"ended by {number.name}" in said
    assert left_behind(process.pid) == []
    assert still_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_killed_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    with bench(tmp_path, "--scenario", "smoke", "--variant", "thrifty") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.kill()
        # Ends when the last one that has inherited it is gone too.
        process.communicate(timeout=60)
    assert left_behind(process.pid) != []
    assert still_running(tmp_path) == []
    with bench(tmp_path, "--scenario", "smoke", "--variant", "fast") as following:
        said = following.communicate(timeout=60)[1]
    assert following.returncode == 0, said
    assert left_behind(process.pid) == []


_CONNECT = """
import socket, sys, time
began_s = time.perf_counter()
socket.create_connection((sys.argv[1], 9000), 30).close()
print(time.perf_counter() - began_s)
"""
_LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 9000)) as listening:
    print("ready", flush=True)
    listening.accept()
"""


def test_nobody_is_nearer_than_the_delay_and_its_devices_go_too() -> None:
    scenario = replace(SMOKE, delay_ms=40.0)
    with open_lines(scenario) as lines:
        listen = [*lines.inside(2), sys.executable, "-c", _LISTEN]
        with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listening:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "ready\n"
            connect = [*lines.inside(1), sys.executable, "-c", _CONNECT, lines.address(2)]
            done = subprocess.run(connect, check=True, capture_output=True, text=True)
        assert float(done.stdout) >= 2 * 0.04
        assert lines.hub is not None
    assert lines.hub.returncode is not None
    assert left_behind(os.getpid()) == []


def test_nothing_measured_is_nothing_to_tell(tmp_path: Path) -> None:
    with bench(tmp_path, "--runs", "0") as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "has no outcomes" in said


def test_a_machine_without_the_tools_is_told_which(tmp_path: Path) -> None:
    with bench(tmp_path, "--scenario", "smoke", path=str(tmp_path)) as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "ip, tc, setpriv, nginx, curl not found" in said
