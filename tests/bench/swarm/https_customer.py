"""A customer of nginx: curl over one TLS 1.3 connection, track after track."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.swarm.network import ENDS_WITH_US
from tests.bench.swarm.process import Diary, say_ready, wait_start

PORT = 8443
_LOOKED_EVERY_S = 0.05


def main(order: dict[str, Any]) -> None:
    """Download once the server is there."""
    folder = Path(order["folder"])
    _wait_listening(order["server"], order["deadline_s"])
    say_ready()
    diary = Diary(order, wait_start(order))
    command = [*ENDS_WITH_US, "curl", "--silent", "--show-error", "--fail", "--tlsv1.3"]
    command += ["--cacert", order["ca"], "--output", f"{folder}/#1.flac", order["url"]]
    with subprocess.Popen(command) as curl:
        try:
            while not diary.over():
                if diary.due():
                    diary.note(_size_bytes(folder))
                if diary.finished_s is None and curl.poll() is not None:
                    if curl.returncode:
                        sys.exit(f"curl failed with exit code {curl.returncode}")
                    diary.finish()
                time.sleep(_LOOKED_EVERY_S)
        finally:
            curl.kill()
    diary.close(_size_bytes(folder))


def _wait_listening(host: str, deadline_s: float) -> None:
    ends_s = time.monotonic() + deadline_s
    while time.monotonic() < ends_s:
        with contextlib.suppress(OSError), socket.create_connection((host, PORT), 1):
            return
        time.sleep(_LOOKED_EVERY_S)
    sys.exit(f"nginx did not listen on {host}:{PORT} within {deadline_s} s")


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
