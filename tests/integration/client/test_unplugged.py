"""The short version of `make drill-unplugged`."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))),
        reason="needs root, ip and unshare",
    ),
]


def test_a_download_whose_network_comes_back_goes_on_by_itself() -> None:
    command = [sys.executable, "-m", "tests.drills.client_unplugged"]
    command += ["--seconds", "1.5", "--megabytes", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "every byte right" in done.stdout
