"""A process from beginning to end: elapsed time, CPU time of user and kernel, and most memory."""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.swarm.network import ENDS_WITH_US

CLIENT_CORE, SERVER_CORE = 1, 0
_LOOKED_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    rss_mb: float


def pinned(core: int) -> list[str]:
    """Prefix of a command that keeps it on a core; nothing on a machine that has only one."""
    return ["taskset", "-c", str(core)] if len(os.sched_getaffinity(0)) > 1 else []


def cost(command: Sequence[str], *, looked_every_s: float = _LOOKED_EVERY_S) -> Cost:
    """Run it on the client's core. Fails if it does."""
    began_s = time.monotonic()
    process = subprocess.Popen(
        [*ENDS_WITH_US, *pinned(CLIENT_CORE), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    most_kb = 0
    while True:
        # The kernel's maximum in `rusage` begins with the memory of whoever started the process.
        most_kb = max(most_kb, _peak_kb(process.pid))
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(looked_every_s)
    wall_s = time.monotonic() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    said = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    if process.returncode:
        raise SystemExit(
            f"{shlex.join(command[:4])} ended with {process.returncode}: {said[-2000:]}"
        )
    return Cost(wall_s, used.ru_utime + used.ru_stime, most_kb / 1000)


def _peak_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0  # it has ended
