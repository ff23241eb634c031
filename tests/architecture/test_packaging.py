"""Two distributions from one tree: albumswarm, and the embedders' albumswarm-client."""

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.documents import ROOT

PACKAGES = ("client_lib", "licensing", "seeder", "tracker")
COMMANDS = {
    "albumswarm": "client_lib.__main__:main",
    "albumswarm-licensing": "licensing.__main__:main",
    "albumswarm-seeder": "seeder.__main__:main",
    "albumswarm-tracker": "tracker.__main__:main",
}


def project(folder: Path) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return loaded


def wheel_files(folder: Path) -> set[str]:
    """Paths in the wheel, as hatchling would pack them; nothing is built."""
    files = WheelBuilder(str(folder)).recurse_included_files()
    return {Path(file.distribution_path).as_posix() for file in files}


def source_files(package: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}


def test_both_distributions_list_the_same_client_dependencies() -> None:
    whole, client = project(ROOT), project(ROOT / "client_lib")
    assert whole["dependencies"] == client["dependencies"]
    assert whole["requires-python"] == client["requires-python"]
    extras = client["optional-dependencies"]
    assert extras == {name: whole["optional-dependencies"][name] for name in extras}


def test_the_client_library_needs_at_most_twelve_distributions() -> None:
    needed = everything_needed(project(ROOT / "client_lib")["dependencies"])
    assert len(needed) <= 12, sorted(needed)
    assert not needed & {"cyclopts", "rich", "keyring", "httpx2", "anyio"}


def everything_needed(requirements: Iterable[str]) -> set[str]:
    """Names of the distributions that pip installs for them, by what is installed here."""
    needed: set[str] = set()
    waiting = [Requirement(requirement) for requirement in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and name not in needed:
            needed.add(name)
            waiting += map(Requirement, importlib.metadata.requires(name) or [])
    return needed


def test_command_without_its_extra_says_what_to_install() -> None:
    hidden = (
        "import sys; sys.modules['cyclopts'] = None; from client_lib.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"pip install 'albumswarm-client[cli]'" in done.stderr


def test_every_dependency_has_a_lower_bound_and_a_tested_version() -> None:
    extras = project(ROOT)["optional-dependencies"]
    wanted = [
        *project(ROOT)["dependencies"],
        *(line for extra in extras.values() for line in extra),
    ]
    tested = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in wanted:
        name, bound, _ = requirement.partition(";")[0].partition(">=")
        if not name.startswith("albumswarm["):
            assert bound, f"{requirement}: no lower bound"
            without_extra = name.partition("[")[0].lower().replace("_", "-")
            assert without_extra in tested, f"constraints.txt lacks {name}"


def test_constraints_are_names_and_versions_alone() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or line.count("==") == 1, f"pip refuses {line!r}"


def test_console_scripts_exist() -> None:
    assert project(ROOT)["scripts"] == COMMANDS
    assert project(ROOT / "client_lib")["scripts"] == {"albumswarm": COMMANDS["albumswarm"]}
    installed = importlib.metadata.entry_points(group="console_scripts")
    for command, target in COMMANDS.items():
        assert installed[command].value == target
        assert callable(installed[command].load())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_whole_wheel_has_every_module_and_its_types(package: str) -> None:
    packed = wheel_files(ROOT)
    assert source_files(package) | {f"{package}/py.typed"} <= packed


def test_the_whole_wheel_has_nothing_else() -> None:
    assert {path.partition("/")[0] for path in wheel_files(ROOT)} == set(PACKAGES)
    assert all(path.endswith((".py", "/py.typed")) for path in wheel_files(ROOT))


def test_the_client_wheel_is_client_lib_without_what_only_services_use() -> None:
    only_services = {
        *source_files("client_lib/service"),
        "client_lib/wire/payment_token.py",
    }
    assert wheel_files(ROOT / "client_lib") == (
        source_files("client_lib") - only_services | {"client_lib/py.typed"}
    )


def test_versions_come_from_one_place() -> None:
    from client_lib import __version__

    assert importlib.metadata.version("albumswarm") == __version__
    assert "version" in project(ROOT)["dynamic"]
    assert "version" in project(ROOT / "client_lib")["dynamic"]
