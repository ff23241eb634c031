"""A PostgreSQL server of the tests' own: started once a process, a database for each test."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

_USER = "albumswarm"
_IMMEDIATE = signal.SIGQUIT
_START_S = 60


@dataclass
class PostgresServer:
    """Listens on a Unix socket in `folder` alone; whoever reaches it may do everything."""

    folder: Path
    binaries: Path
    account: dict[str, object]
    fast: bool = True
    process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=partial(count, 1))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}@/{database}?host={quote(str(self.folder), safe='')}"

    def new_schema(self) -> str:
        """URL of an empty schema: much quicker than a database, and the ledger sees no more."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}&options=-csearch_path%3D{name}"

    def new_database(self) -> str:
        """URL of an empty database."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        command = [self.binaries / "postgres", "-D", self.data, "-k", self.folder, "-h", ""]
        # Nothing of this survives a power cut, and nothing has to. Drills ask for the real thing.
        fast = ["-F", "-c", "full_page_writes=off"] if self.fast else []
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*_dying_with_us(), *command, *fast, "-c", "max_connections=60"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **self.account,  # type: ignore[call-overload]
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(_START_S * 20):
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        raise AssertionError(f"PostgreSQL does not answer: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """At once, as `pg_ctl stop -m immediate`: also under load."""
        if self.process is not None:
            self.process.send_signal(_IMMEDIATE)
            self.process.wait(_START_S)
            self.process = None


@contextlib.contextmanager
def postgres_server(*, fast: bool = True) -> Iterator[PostgresServer]:
    """Make a server in a folder of its own, and stop it afterwards. Skips without PostgreSQL."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    # Not below pytest's folders: the server's own user may not enter those.
    folder = Path(tempfile.mkdtemp(prefix="albumswarm-pg-"))
    try:
        server = PostgresServer(folder, binaries, _account(folder), fast=fast)
        initdb: list[object] = [binaries / "initdb", "-D", server.data, "-U", _USER]
        done = subprocess.run(
            [*map(str, initdb), "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
            capture_output=True,
            check=False,
            **server.account,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr.decode()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path | None:
    """Debian keeps the server's programs off the path, by version."""
    found = shutil.which("postgres")
    if found and shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in versions), default=None, key=_version)


def _version(binaries: Path) -> int:
    name = binaries.parent.name
    return int(name) if name.isdecimal() else 0


def _account(folder: Path) -> dict[str, object]:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}


def _dying_with_us() -> list[str]:
    """So that killed tests leave no server behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "QUIT"] if setpriv else []
