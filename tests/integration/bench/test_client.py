"""`make bench-client` in small: everybody gets everything, and it is told."""

import json
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_S


def test_a_small_run_tells_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.client", "--into", str(tmp_path)]
    small = ["--runs", "1", "--megabytes", "1", "--albums", "2", "--starts", "1"]
    done = subprocess.run(
        [*command, *small], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "client.json").read_text())["figures"]
    told = {figure["name"] for figure in figures}
    assert {
        "large: elapsed, against plain libtorrent",
        "small: memory, against plain libtorrent",
        "list of all albums",
        "queue complete but for one album: elapsed",
        "small albums: rate",
    } <= told
