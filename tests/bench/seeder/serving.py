"""One album from our peer port to a libtorrent customer, and from nginx to curl.

The server is on one core and the customer on the other. Addresses are of this bench alone, in
127.0.0.0/8, because the processes of `bench-swarm` that are used here have a fixed port.
"""

import contextlib
import grp
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ephemeral_port_reserve import reserve

from client_lib.swarm.create import create_torrent
from client_lib.wire.certificates import HostIdentity, Identity, SeederIdentity
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.bench.seeder.publishing import make_album
from tests.bench.tracker.servers import LOAD_CORE, SERVER_CORE, Server
from tests.pki import SwarmPki, licence_identity

NAME = TorrentName("rel-0001.flac-16-44")
SERVER, CUSTOMER = "127.77.0.1", "127.77.0.2"
PORT = 6881
_STARTING_S = 30.0
_NGINX = """\
user {user} {group};
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    server {{
        listen {address}:{port} ssl;
        root {content};
        ssl_certificate {folder}/host.pem;
        ssl_certificate_key {folder}/host.pem;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Megabytes a second of the server's CPU time, and a second."""

    mb_cpu_s: float
    mb_s: float


class Rig:
    """An album, its torrent, and everybody's certificates."""

    def __init__(self, root: Path, megabytes: int) -> None:
        """Make them."""
        self._root = root
        self._content = make_album(root / "origin" / NAME, megabytes)
        pki = SwarmPki()
        data = create_torrent(self._content, name=NAME, ca_pem=pki.ca_pem)
        (root / "album.torrent").write_bytes(data)
        (root / "ca.pem").write_text(pki.ca_pem)
        torrent = Metainfo.from_bytes(data)
        self._megabytes = torrent.size_bytes / 1e6
        identities: dict[str, Identity] = {
            "seeder": SeederIdentity("seeder-1"),
            "host": HostIdentity("nginx-1", ("localhost",)),
            "customer": licence_identity(NAME, torrent.info),
        }
        for who, identity in identities.items():
            leaf = pki.issue(identity)
            (root / f"{who}.crt").write_text(leaf.certificate_pem)
            (root / f"{who}.key").write_text(leaf.key_pem)
            (root / f"{who}.pem").write_text(leaf.certificate_pem + leaf.key_pem)
        self._downloads = 0

    def by_our_node(self) -> Served:
        """The listener, swarm and memory of a node that is told to give all it can."""
        self._downloads += 1
        folder = self._root / f"customer-{self._downloads}"
        stops = {who: folder / f"{who}.stop" for who in ("seeder", "customer")}
        folder.mkdir()
        common = {
            "torrents": [str(self._root / "album.torrent")],
            "arrives_s": 0.0,
            "stays_s": None,
            "deadline_s": 120.0,
        }
        node = common | {
            "folder": str(self._root / "origin"),
            "policy": "fast",
            "upload_limit_bytes_s": 0,
            "credential": str(self._root / "seeder"),
            "address": SERVER,
            "stop": str(stops["seeder"]),
            "report": str(folder / "seeder.json"),
        }
        customer = common | {
            "folder": str(folder),
            "plain": False,
            "complete": False,
            "credential": str(self._root / "customer"),
            "address": CUSTOMER,
            "peers": [SERVER],
            "stop": str(stops["customer"]),
            "report": str(folder / "customer.json"),
        }
        module = [sys.executable, "-m", "tests.bench.swarm.seeder", json.dumps(node)]
        with _running(SERVER_CORE, module, SERVER, PORT, stops["seeder"]) as server:
            command = [sys.executable, "-m", "tests.bench.swarm.customer"]
            before_s, before_cpu_s = time.time(), server.cpu_s()
            with subprocess.Popen(
                ["taskset", "-c", str(LOAD_CORE), *command, json.dumps(customer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{before_s}\n")
                process.stdin.flush()
                while (said := process.stdout.readline()) != "complete\n":
                    assert said, "the customer died"
                took_s = time.time() - before_s
                took_cpu_s = server.cpu_s() - before_cpu_s
                stops["customer"].touch()
        return Served(self._megabytes / took_cpu_s, self._megabytes / took_s)

    def by_nginx(self) -> Served:
        """Its files over HTTPS, one after another on one connection."""
        port = reserve()
        text = _NGINX.format(
            folder=self._root,
            address=SERVER,
            port=port,
            content=self._content.parent,
            user=pwd.getpwuid(os.getuid()).pw_name,
            group=grp.getgrgid(os.getgid()).gr_name,
        )
        (self._root / "nginx.conf").write_text(text)
        configuration = str(self._root / "nginx.conf")
        nginx = ["nginx", "-p", str(self._root), "-c", configuration]
        names = sorted(path.name for path in self._content.iterdir())
        with _running(SERVER_CORE, nginx, SERVER, port, None) as server:
            curl = ["curl", "-sS", "--fail", "--cacert", str(self._root / "ca.pem")]
            curl += ["--cert", str(self._root / "customer.pem")]
            curl += ["--resolve", f"localhost:{port}:{SERVER}"]
            for name in names:
                curl += ["-o", "/dev/null", f"https://localhost:{port}/{NAME}/{name}"]
            before_s, before_cpu_s = time.monotonic(), server.cpu_s()
            subprocess.run(["taskset", "-c", str(LOAD_CORE), *curl], check=True)
            took_s, took_cpu_s = time.monotonic() - before_s, server.cpu_s() - before_cpu_s
        return Served(self._megabytes / took_cpu_s, self._megabytes / took_s)


@contextlib.contextmanager
def _running(
    core: int, command: list[str], address: str, port: int, stop: Path | None
) -> Iterator[Server]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{time.time()}\n".encode())  # our node waits for a common start
        process.stdin.flush()
        _wait_for(address, port, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield Server(port, [process.pid, *map(int, children.split())])
    finally:
        if stop is None:
            process.terminate()
        else:
            stop.touch()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(address: str, port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until somebody listens: no connection is made, which the server would have to serve."""
    wanted = bytes(map(int, address.split(".")))[::-1].hex().upper() + f":{port:04X}"
    deadline = time.monotonic() + _STARTING_S
    while process.poll() is None and time.monotonic() < deadline:
        if f" {wanted} 00000000:0000 0A" in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.02)
    raise SystemExit(f"{process.args!r} did not start")
