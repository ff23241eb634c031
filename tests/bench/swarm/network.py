"""Network namespaces, each with an upload line of its own. Needs root.

Without delay they hang on a bridge and `tbf` shapes each line in the kernel. With delay, which this
kernel has no `netem` for, each has a TUN device, and a process between them shapes and delays.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.swarm.scenario import Scenario

_NAMESPACES = Path("/run/netns")
_HOSTS = Path("/etc/netns")
"""Files that `ip netns exec` puts in the place of those of /etc."""
_OURS = re.compile(r"asb(\d+)n\d+")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""Put before a command, the kernel ends it when this process is gone, even by SIGKILL."""
_LONGEST_QUEUE = "100ms"
_LEAST_BURST_BYTES = 20_000
_BURST_S = 0.004
SEEDER, TRACKER = "seeder.swarm.bench", "tracker.swarm.bench"
"""Names that every namespace can resolve: certificates are for names."""


class Lines:
    """The namespaces of a scenario: 0 is the seeder's, then the customers', then the tracker's."""

    def __init__(self, upload_mbit_s: Sequence[float | None]) -> None:
        """Use `open_lines`. None for a line that is not shaped."""
        self.tag = f"asb{os.getpid()}"
        self.upload_mbit_s = upload_mbit_s
        self.hub: subprocess.Popen[str] | None = None

    @property
    def tracker(self) -> int:
        """The tracker's number."""
        return len(self.upload_mbit_s) - 1

    def address(self, number: int) -> str:
        """IPv4 address of a namespace."""
        return f"10.9.{number // 250}.{number % 250 + 1}"

    def namespace(self, number: int) -> str:
        """Name of a namespace."""
        return f"{self.tag}n{number}"

    def inside(self, number: int) -> tuple[str, ...]:
        """What to put before a command to run it there, no longer than this process lives."""
        return (*ENDS_WITH_US, "ip", "netns", "exec", self.namespace(number))

    def hub_cpu_s(self) -> float:
        """CPU time of the process that delays, until now; 0 without delay."""
        if self.hub is None:
            return 0.0
        fields = Path(f"/proc/{self.hub.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def customers_sent_bytes(self) -> int:
        """What has left the customers' shaped lines until now, headers and all; 0 with delay."""
        if self.hub is not None:
            return 0
        sent = 0
        for number in range(1, self.tracker):
            if self.upload_mbit_s[number] is not None:
                show = [*self.inside(number), "tc", "-s", "-j", "qdisc", "show", "dev", "eth0"]
                told = subprocess.run(show, check=True, capture_output=True).stdout
                (shaper,) = json.loads(told)
                sent += shaper["bytes"]
        return sent


@contextlib.contextmanager
def open_lines(scenario: Scenario) -> Iterator[Lines]:
    """Make a namespace for everybody, and remove them all afterwards, whatever happens."""
    if os.geteuid() != 0:
        raise SystemExit("bench-swarm makes network namespaces: run it as root")
    _remove_stale()
    buyers = [buyer.up_mbit_s for buyer in scenario.buyers]
    lines = Lines([scenario.seeder_mbit_s, *buyers, None])
    with contextlib.ExitStack() as stack:
        names = {SEEDER: lines.address(0), TRACKER: lines.address(lines.tracker)}
        for number in range(len(lines.upload_mbit_s)):
            _make_namespace(stack, lines.namespace(number), names)
        if scenario.delay_ms:
            lines.hub = stack.enter_context(_hub(lines, scenario.delay_ms))
        else:
            _bridge(stack, lines)
        yield lines


def _make_namespace(stack: contextlib.ExitStack, name: str, hosts: Mapping[str, str]) -> None:
    stack.callback(shutil.rmtree, _HOSTS / name, ignore_errors=True)
    (_HOSTS / name).mkdir(parents=True)
    known = "".join(f"{address} {host}\n" for host, address in hosts.items())
    (_HOSTS / name / "hosts").write_text("127.0.0.1 localhost\n" + known)
    stack.callback(_remove_namespace, name)
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _bridge(stack: contextlib.ExitStack, lines: Lines) -> None:
    bridge = f"{lines.tag}b"
    _ip("link", "add", bridge, "type", "bridge")
    stack.callback(_ip, "link", "del", bridge)
    _ip("link", "set", bridge, "up")
    for number, rate in enumerate(lines.upload_mbit_s):
        name, end = lines.namespace(number), f"{lines.tag}v{number}"
        # Both ends go with the namespace, too, but the kernel takes its time then.
        stack.callback(_remove_link, end)
        _ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", end, "master", bridge, "up")
        _ip("-n", name, "addr", "add", f"{lines.address(number)}/16", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        if rate is not None:
            burst = max(_LEAST_BURST_BYTES, round(rate * 1e6 / 8 * _BURST_S))
            shape = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{rate}mbit"]
            shape += ["burst", str(burst), "latency", _LONGEST_QUEUE]
            subprocess.run([*lines.inside(number), *shape], check=True)


@contextlib.contextmanager
def _hub(lines: Lines, delay_ms: float) -> Iterator["subprocess.Popen[str]"]:
    """Run the process that makes the TUN devices and carries what they send."""
    ends = [
        f"{lines.namespace(number)},{lines.address(number)},{rate or 0}"
        for number, rate in enumerate(lines.upload_mbit_s)
    ]
    hub = [sys.executable, "-m", "tests.bench.swarm.hub", str(delay_ms), *ends]
    command = [*ENDS_WITH_US, *hub]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise SystemExit("bench-swarm cannot make TUN devices: is /dev/net/tun there?")
        yield process
    finally:
        process.kill()
        process.communicate()


def _remove_stale() -> None:
    """Remove what a run left behind that was killed without a chance to do so itself."""
    for folder in (_NAMESPACES, _HOSTS):
        for path in folder.glob("asb*"):
            ours = _OURS.fullmatch(path.name)
            if ours is None or Path(f"/proc/{ours[1]}").exists():
                continue
            if folder == _HOSTS:
                shutil.rmtree(path, ignore_errors=True)
            else:
                _remove_namespace(path.name)
    for path in Path("/sys/class/net").glob("asb*b"):
        if not Path(f"/proc/{path.name[3:-1]}").exists():
            _ip("link", "del", path.name)


def _remove_namespace(name: str) -> None:
    # It may not be there: the cleanup is planned before the namespace is made.
    subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def _remove_link(name: str) -> None:
    subprocess.run(["ip", "link", "del", name], check=False, stderr=subprocess.DEVNULL)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
