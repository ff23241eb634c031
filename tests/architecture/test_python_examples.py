"""No Python in the documents goes unrun, and the programs pass mypy against the installed wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.architecture.documents import ROOT, Block, blocks, markdown_files
from tests.architecture.test_documented_commands import DOCUMENTS

FOLDER = ROOT / "docs" / "how-to" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def python_blocks() -> list[tuple[Path, Block]]:
    return [
        (path, block)
        for path in markdown_files()
        for block in blocks(path)
        if block.language == "python"
    ]


def test_every_python_block_is_run() -> None:
    shown = set()
    for path, block in python_blocks():
        (mark,) = block.words or ("",)
        kind, _, name = mark.partition("=")
        where = f"{path.name}:{block.line}"
        match kind:
            case "example":  # run by tests/integration/client/test_embedding.py
                assert block.text == (FOLDER / name).read_text(), f"{where} is not examples/{name}"
                shown.add(name)
            case "file":  # run by test_documented_commands.py
                assert path in DOCUMENTS, where
            case "run":  # run by test_examples.py
                assert path.name == "payment-token.md", where
            case _:
                pytest.fail(f"{where}: nothing runs it")
    assert shown == {path.name for path in EXAMPLES}


def test_examples_are_as_short_as_they_are_said_to_be() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES}
    assert lengths["embed.py"] <= 20
    assert lengths["player.py"] <= 40


def test_examples_pass_strict_types_against_the_installed_wheel(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT / "client_lib")).build(
        directory=str(tmp_path), versions=["standard"]
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    scheme = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    installed = Path(sysconfig.get_path("purelib", "venv", scheme))
    # Everything that is installed here but our own checkout, and the wheel in its place.
    for there in Path(sysconfig.get_path("purelib")).iterdir():
        if "albumswarm" not in there.name and not there.name.endswith(".pth"):
            (installed / there.name).symlink_to(there)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(installed)
    assert (installed / "client_lib" / "py.typed").is_file()
    for example in EXAMPLES:
        shutil.copy(example, tmp_path)
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")
    }
    python = tmp_path / "venv" / "bin" / "python"
    command = f"mypy --strict --config-file= --python-executable {python}".split()
    checked = subprocess.run(
        [sys.executable, "-m", *command, *(path.name for path in EXAMPLES)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    asked = "import client_lib.blocking, client_lib.testing; print(client_lib.__file__)"
    done = subprocess.run(
        [python, "-c", asked], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    assert Path(done.stdout.decode().strip()).is_relative_to(installed)
