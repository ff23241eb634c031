"""systemd units in docs/deploy: accepted by systemd, confined, and with options that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.documents import ROOT

FOLDER = ROOT / "docs" / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
INSTALLED = "/opt/albumswarm/bin"
MOST_EXPOSED = 20
"""Of 100, as systemd-analyze counts; 14 when this was written."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def analyse(*arguments: object) -> str:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        copies.append(tmp_path / unit.name)
        here = str(Path(sys.executable).parent)
        copies[-1].write_text(unit.read_text().replace(INSTALLED, here))
    said = analyse("verify", *copies)
    assert not [line for line in said.splitlines() if "albumswarm" in line]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_services_can_touch_little_but_their_own(unit: Path) -> None:
    analyse("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_commands_of_units_exist_with_their_options(unit: Path) -> None:
    text = unit.read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, command, *options = line.split()
    assert program == f"{INSTALLED}/{unit.stem}"
    module = unit.stem.removeprefix("albumswarm-")
    asked = [sys.executable, "-m", module, command, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    for option in options:
        if option.startswith("--"):
            assert option in done.stdout
    assert f"User={unit.stem}" in text
    assert f"\nu {unit.stem} " in (FOLDER / "albumswarm.sysusers").read_text()


def test_every_service_has_a_unit() -> None:
    assert [unit.stem for unit in UNITS] == [
        f"albumswarm-{service}" for service in ("licensing", "seeder", "tracker")
    ]
