"""What becomes of a service whose log cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

LOGGING = """
import os, sys
import structlog
from client_lib.service.process import configure_logs
configure_logs()
for number in range(3):
    structlog.get_logger().info("line", number=number, more="x" * 20_000)
os.write(sys.stdout.fileno(), b"it goes on")
os._exit(0)
"""


def logging_to(stderr: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", LOGGING], stdout=subprocess.PIPE, stderr=stderr, check=False
    )


def test_a_log_s_full_disk_stops_no_service() -> None:
    with Path("/dev/full").open("wb") as full:
        assert logging_to(full.fileno()).stdout == b"it goes on"


def test_a_log_that_nobody_reads_any_more_stops_no_service() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        assert logging_to(writes).stdout == b"it goes on"
    finally:
        os.close(writes)


def test_a_log_has_a_line_for_each_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as log:
        logging_to(log.fileno())
    lines = path.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2]
