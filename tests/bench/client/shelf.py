"""Albums to get, from processes on the servers' core: licensing, tracker, a node, and nginx."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.client.measuring import SERVER_CORE, Cost, cost, pinned
from tests.bench.swarm.network import ENDS_WITH_US
from tests.bench.swarm.process import PEER_PORT

CUSTOMER = "127.78.0.1"
_STARTING_S = 120.0
_NGINX = """\
user {user} {group};
worker_processes 1;
daemon off;
pid {root}/nginx.pid;
error_log {root}/nginx.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000;
    client_body_temp_path {root}/nginx-body;
    proxy_temp_path {root}/nginx-proxy;
    fastcgi_temp_path {root}/nginx-fastcgi;
    uwsgi_temp_path {root}/nginx-uwsgi;
    scgi_temp_path {root}/nginx-scgi;
    server {{
        listen {seeder}:8443 ssl;
        root {root}/origin;
        ssl_certificate {root}/host.pem;
        ssl_certificate_key {root}/host.pem;
        ssl_client_certificate {root}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        limit_rate {line};
    }}
}}
"""


@dataclass(frozen=True)
class Content:
    """So many albums of one size. `checksums`: their torrents say the SHA-256 of each file.

    `line_bytes_s` is what the node, or nginx, gives at most; 0 for all it can.
    """

    albums: int
    album_bytes: int
    checksums: bool = True
    line_bytes_s: int = 0


@dataclass(frozen=True)
class Shelf:
    """Albums, their licences, and everybody who serves them."""

    root: Path
    seeder: str
    url: str
    names: Sequence[str]

    def command(self, device: Path, *arguments: str) -> list[str]:
        """`albumswarm` on a device."""
        return [
            *(sys.executable, "-m", "client_lib", *arguments, "--data", str(device / "data")),
            *("--licensing-url", self.url, "--licensing-ca", str(self.root / "ca.pem")),
        ]

    def get(self, device: Path, *names: str) -> Cost:
        """Download albums to the device's music folder, all unless named."""
        wanted = names or ("--all",)
        into = ("--into", str(device / "music"), "--listen-host", CUSTOMER, "--json")
        return cost(self.command(device, "get", *wanted, *into))

    def by_plain_libtorrent(self, folder: Path) -> Cost:
        """The same torrents from the same node."""
        module = [sys.executable, "-m", "tests.bench.client.plain"]
        return cost([*module, str(self.root), str(folder), CUSTOMER])

    def by_curl(self, folder: Path) -> Cost:
        """The same files over one HTTPS connection with a client's certificate."""
        curl = ["curl", "-sS", "--fail", "--cacert", str(self.root / "ca.pem")]
        curl += ["--cert", str(self.root / f"{self.names[0]}.pem"), "--create-dirs"]
        curl += ["--resolve", f"localhost:8443:{self.seeder}"]
        for name in self.names:
            for file in sorted((self.root / "origin" / name).iterdir()):
                curl += ["-o", f"{folder}/{name}/{file.name}"]
                curl += [f"https://localhost:8443/{name}/{file.name}"]
        return cost(curl)

    def require_everything(self, folder: Path) -> None:
        """Compare what is in the folder with what was published, by size."""
        there = sum(path.stat().st_size for path in folder.rglob("*.flac"))
        published = sum(path.stat().st_size for path in self.root.glob("origin/*/*.flac"))
        if there != published:
            raise SystemExit(f"{folder} has {there} bytes of {published}")


@contextlib.contextmanager
def open_shelf(root: Path, seeder: str, content: Content) -> Iterator[Shelf]:
    """Publish and serve. `seeder` is an address in 127.0.0.0/8 of its own."""
    with contextlib.ExitStack() as stack:
        module = [sys.executable, "-m", "tests.bench.client.licensing"]
        sizes = (content.albums, content.album_bytes, int(content.checksums))
        licensing = [*module, str(root), seeder, *map(str, sizes)]
        stack.enter_context(_running(licensing))
        _wait(lambda: (root / "offer.json").exists(), "licensing")
        offer = json.loads((root / "offer.json").read_text())
        stack.enter_context(_running(_node(root, seeder, offer["names"], content)))
        _wait(lambda: _listens(seeder, PEER_PORT), "the node")
        if shutil.which("nginx"):
            stack.enter_context(_running(_nginx(root, seeder, content)))
            _wait(lambda: _listens(seeder, 8443), "nginx")
        yield Shelf(root, seeder, offer["url"], offer["names"])


def _node(root: Path, seeder: str, names: Sequence[str], content: Content) -> list[str]:
    order = {
        "address": seeder,
        "credential": str(root / "seeder"),
        "torrents": [str(root / f"{name}.torrent") for name in names],
        "folder": str(root / "origin"),
        "policy": "balanced",
        "upload_limit_bytes_s": content.line_bytes_s,
        "arrives_s": 0.0,
        "stays_s": None,
        "deadline_s": 86_400.0,
        "stop": str(root / "stop"),
        "report": str(root / "node.json"),
    }
    return [sys.executable, "-m", "tests.bench.swarm.seeder", json.dumps(order)]


def _nginx(root: Path, seeder: str, content: Content) -> list[str]:
    text = _NGINX.format(
        root=root,
        seeder=seeder,
        line=content.line_bytes_s,
        user=pwd.getpwuid(os.getuid()).pw_name,
        group=grp.getgrgid(os.getgid()).gr_name,
    )
    (root / "nginx.conf").write_text(text)
    return ["nginx", "-e", f"{root}/nginx.log", "-c", f"{root}/nginx.conf"]


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(
        [*ENDS_WITH_US, *pinned(SERVER_CORE), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write("0\n")  # the node's start: at once
        process.stdin.flush()
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdin.close()


def _wait(ready: Callable[[], bool], who: str) -> None:
    ends_s = time.monotonic() + _STARTING_S
    while not ready():
        if time.monotonic() > ends_s:
            raise SystemExit(f"{who} was not ready within {_STARTING_S:g} s")
        time.sleep(0.05)


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
