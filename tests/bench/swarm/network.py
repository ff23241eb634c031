"""Network namespaces on one bridge, each with an upload line of its own. Needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

GOODPUT = 0.954
"""Payload that a `tbf` of rate 1 carries: 1,448 of 1,514 bytes, less TLS and framing."""
_BURST = "20kb"
_LONGEST_QUEUE = "100ms"


class Lines:
    """The namespaces of a run: number 0 for the seeder, then one for each customer."""

    def __init__(self, tag: str, count: int) -> None:
        """Use `open_lines`."""
        self._tag = tag
        self.count = count

    def address(self, number: int) -> str:
        """IPv4 address of a namespace."""
        return f"10.9.{number // 250}.{number % 250 + 1}"

    def inside(self, number: int) -> tuple[str, ...]:
        """What to put before a command to run it there."""
        return ("ip", "netns", "exec", self._name(number))

    def _name(self, number: int) -> str:
        return f"{self._tag}n{number}"


@contextlib.contextmanager
def open_lines(upload_mbit_s: Sequence[float]) -> Iterator[Lines]:
    """Make a namespace for each line, and remove them all afterwards, whatever happens."""
    if os.geteuid() != 0:
        raise SystemExit("bench-swarm makes network namespaces: run it as root")
    tag = f"as{os.getpid() % 100_000}"
    lines = Lines(tag, len(upload_mbit_s))
    with contextlib.ExitStack() as stack:
        _ip("link", "add", f"{tag}b", "type", "bridge")
        stack.callback(_ip, "link", "del", f"{tag}b")
        _ip("link", "set", f"{tag}b", "up")
        for number, rate in enumerate(upload_mbit_s):
            name, end = f"{tag}n{number}", f"{tag}v{number}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", end, "master", f"{tag}b", "up")
            _ip("-n", name, "addr", "add", f"{lines.address(number)}/16", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            shape = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{rate}mbit"]
            shape += ["burst", _BURST, "latency", _LONGEST_QUEUE]
            subprocess.run([*lines.inside(number), *shape], check=True)
        yield lines


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
