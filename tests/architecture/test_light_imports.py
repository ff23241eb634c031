"""What importing a package loads: services stay free of libtorrent, all of ours of asyncio."""

import subprocess
import sys
from pathlib import Path

import pytest

from client_lib.download.library import DeviceLibrary, Service
from client_lib.wire.licensing_api import Library
from tests.unit.client_lib.download.licences import licence

_SAY_MODULES = "import sys; print(*sys.modules)"
# Says, for every module of ours, whether its own code imports a forbidden one.
_WATCHED = """
import builtins, sys
real, seen = builtins.__import__, set()
def watching(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "").partition(".")[0]
    if importer in ("client_lib", "licensing", "seeder", "tracker") and level == 0:
        seen.add(name.partition(".")[0])
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = watching
"""


def loaded_by(statement: str) -> set[str]:
    script = f"{statement}\n{_SAY_MODULES}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return set(done.stdout.decode().split())


@pytest.mark.parametrize(
    "module", ["licensing.app", "licensing.__main__", "tracker.app", "tracker.__main__"]
)
def test_licensing_and_tracker_load_neither_libtorrent_nor_the_swarm(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not {name for name in loaded if name.partition(".")[0] == "libtorrent"}
    assert not {name for name in loaded if name.startswith(("client_lib.swarm", "client_lib.down"))}


def test_the_client_loads_no_service_and_no_service_library() -> None:
    loaded = loaded_by("import client_lib.download.client, client_lib.cli.commands")
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"licensing", "seeder", "tracker", "litestar", "anycorn", "jwt", "structlog"}


def test_getting_albums_loads_no_announces() -> None:
    loaded = loaded_by("import client_lib.download.client, client_lib.cli.commands")
    unused = ("client_lib.wire.announce_answer", "client_lib.wire.peer_protocol")
    assert not loaded & {*unused, "client_lib.wire.announce"}


@pytest.mark.parametrize(
    "module",
    [
        "client_lib",
        "client_lib.cli.app",
        "client_lib.cli.listing",
        "client_lib.download",
        "client_lib.download.account",
    ],
)
def test_listing_licences_loads_no_swarm_no_certificates_and_no_rich_tables(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    heavy = ("libtorrent", "cryptography", "rich.console", "keyring", "urllib.request", "asyncio")
    assert not [name for name in loaded if name.startswith(heavy)]


def test_importing_the_fake_loads_neither_libtorrent_nor_pytest() -> None:
    loaded = loaded_by("import client_lib.testing; client_lib.testing.FakeStore()")
    assert not {name.partition(".")[0] for name in loaded} & {"libtorrent", "pytest", "_pytest"}


def test_importing_a_name_loads_what_it_needs_alone() -> None:
    loaded = loaded_by("from client_lib import ClientSettings, Progress; import client_lib.errors")
    assert not {name.partition(".")[0] for name in loaded} & {"libtorrent", "cryptography"}


def test_list_runs_without_what_it_does_not_need(tmp_path: Path) -> None:
    library = DeviceLibrary(tmp_path)
    library.keep_service(Service("https://shop.example"))
    library.keep_licences(Library((licence(),)))
    arguments = ["albumswarm", "list", "--offline", "--data", str(tmp_path)]
    run = f"import sys; sys.argv = {arguments}; from client_lib.__main__ import run_here"
    loaded = loaded_by(f"{run}\ntry: run_here()\nexcept SystemExit: pass")
    assert "client_lib.cli.listing" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"libtorrent", "cryptography"}
    assert not loaded & {"rich.console", "rich.table", "rich.markdown"}


def test_modules_are_searched_for_garbage_once_at_most() -> None:
    script = "import gc, sys; sys.argv = ['albumswarm', '--version']; seen = []\n"
    script += (
        "from client_lib.__main__ import run_here; gc.callbacks.append(lambda *_: seen.append(1))"
    )
    script += "\ntry: run_here()\nexcept SystemExit: print(len(seen))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout.split()[-1]) <= 2, "a call when it begins, and one when it ends"


def test_wire_loads_neither_trio_nor_libtorrent() -> None:
    names = ["announce", "certificates", "crl", "licensing_api", "metainfo", "problem", "signature"]
    loaded = loaded_by("import " + ", ".join(f"client_lib.wire.{name}" for name in names))
    assert not loaded & {"trio", "libtorrent", "sqlite3"}


@pytest.mark.parametrize(
    "module",
    [
        "client_lib.cli.commands",
        "client_lib.testing.client",
        "licensing.app",
        "seeder.app",
        "tracker.app",
    ],
)
def test_our_modules_import_one_event_loop(module: str) -> None:
    script = f"{_WATCHED}\nimport {module}\nprint(*seen)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    imported = set(done.stdout.decode().split())
    assert "trio" in imported
    assert not imported & {"asyncio", "threading", "multiprocessing", "concurrent", "sqlite3"}
