"""The servers that are compared, each pinned to the first core: ours, opentracker, nginx."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ephemeral_port_reserve import reserve

from tests.bench.tracker.peers import Crowd

SERVER_CORE = 0
LOAD_CORE = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STARTING_S = 30.0
_NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {host};
        ssl_certificate_key {host};
        ssl_client_certificate {ca};
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Processes that answer announces on a port of 127.0.0.1."""

    port: int
    pids: Sequence[int]

    def cpu_s(self) -> float:
        """CPU time of all the processes until now, in the kernel and out of it."""
        total = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS_PER_S

    def rss_bytes(self) -> int:
        """Resident memory of all the processes."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def our_tracker(crowd: Crowd, folder: Path) -> Iterator[tuple[Server, Server]]:
    """The tracker's two doors: plain HTTP for proxies, and mutual TLS."""
    folder.mkdir()
    plain, tls = reserve(), reserve()
    command = (sys.executable, "-m", "tests.bench.tracker.server")
    arguments = (str(crowd.folder), str(tls), str(plain), str(folder / "tracker"))
    with _running((*command, *arguments), folder / "tracker.log", plain) as pid:
        yield Server(plain, [pid]), Server(tls, [pid])


@contextlib.contextmanager
def opentracker(crowd: Crowd, folder: Path) -> Iterator[Server]:
    """Debian's opentracker, with all the swarms on its whitelist."""
    root = folder / "opentracker"
    root.mkdir(mode=0o755)
    hashes = {peer.info_hash.truncated.hex() for peer in crowd.peers}
    (root / "whitelist").write_text("".join(f"{each}\n" for each in sorted(hashes)))
    port = reserve()
    command = [_installed("opentracker"), "-i", "127.0.0.1", "-p", str(port), "-P", str(port)]
    command += ["-d", str(root), "-w", "whitelist"]
    with _running(command, folder / "opentracker.log", port) as pid:
        yield Server(port, [pid])


@contextlib.contextmanager
def nginx(crowd: Crowd, folder: Path, upstream: Server) -> Iterator[Server]:
    """nginx that demands certificates of the swarm CA, in front of `upstream`."""
    port = reserve()
    text = _NGINX.format(
        folder=folder, port=port, upstream=upstream.port, host=crowd.host, ca=crowd.ca
    )
    (folder / "nginx.conf").write_text(text)
    command = (_installed("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"))
    with _running(command, folder / "nginx.log", port) as pid:
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield Server(port, [pid, *map(int, workers), *upstream.pids])


def _installed(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed: apt-get install nginx-light opentracker")
    return found


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command], stdout=output, stderr=output
        )
        try:
            _wait_for(port, process, log)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _STARTING_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"a server did not start:\n{log.read_text()}")
