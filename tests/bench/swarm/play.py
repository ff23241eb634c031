"""One run: everybody's process, a common start, a deadline, and what came out."""

import contextlib
import json
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

from client_lib.wire.web_seeds import WEB_SEED_FOLDER
from tests.bench.swarm import https_customer
from tests.bench.swarm.announcing import PORT as TRACKER_PORT
from tests.bench.swarm.network import SEEDER, TRACKER, Lines
from tests.bench.swarm.outcome import Outcome, slowest_bytes_s
from tests.bench.swarm.process import PEER_PORT
from tests.bench.swarm.scenario import BALANCED, NGINX, PLAIN, WEB_SEED
from tests.bench.swarm.stage import TRACKS, Stage

_PREPARING_S = 60.0
_PARTING_S = 30.0
_STARTS_IN_S = 0.5
_NGINX = """\
user root;
worker_processes 1;
daemon off;
pid {root}/nginx.pid;
error_log {root}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {root}/nginx-body;
    proxy_temp_path {root}/nginx-proxy;
    fastcgi_temp_path {root}/nginx-fastcgi;
    uwsgi_temp_path {root}/nginx-uwsgi;
    scgi_temp_path {root}/nginx-scgi;
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {credential};
        ssl_certificate_key {credential};
        ssl_protocols TLSv1.3;
        root {origin};
    }}
}}
"""


class Late(Exception):
    """Something took longer than it may."""


class Player:
    """A process, and what it says line by line."""

    def __init__(self, who: str, command: list[str]) -> None:
        """Start it, out of reach of the terminal's signals: we end it ourselves."""
        self.who = who
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def expect(self, word: str, ends_s: float) -> None:
        """Wait for a line. Raises Late at that monotonic time; fails if the process ends."""
        lines = self._pipe(self._process.stdout)
        if not select.select([lines], [], [], max(0.0, ends_s - time.monotonic()))[0]:
            raise Late(self.who)
        if lines.readline().strip() != word:
            raise SystemExit(f"{self.who} ended before it was {word}")

    def begin(self, start_at: float) -> None:
        """Tell the common start."""
        with contextlib.suppress(BrokenPipeError):  # `expect` tells
            self._pipe(self._process.stdin).write(f"{start_at!r}\n")

    def wait(self) -> None:
        """Wait until it has left its report."""
        try:
            self._process.wait(_PARTING_S)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{self.who} did not end within {_PARTING_S:g} s") from None
        if self._process.returncode:
            raise SystemExit(f"{self.who} ended with exit code {self._process.returncode}")

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def play(stage: Stage, lines: Lines, variant: str) -> Outcome:
    """Everybody's download, once. Fails with a sentence when the deadline passes."""
    scenario = stage.scenario
    (stage.root / "stop").unlink(missing_ok=True)
    for report in stage.reports():
        report.unlink()
    with _players(stage, lines, variant) as (servers, customers):
        ready_s = time.monotonic() + _PREPARING_S
        try:
            for player in (*servers, *customers):
                player.expect("ready", ready_s)
        except Late as late:
            raise SystemExit(f"{late} was not ready within {_PREPARING_S:g} s") from None
        hub_s, began_s, sent = lines.hub_cpu_s(), time.monotonic(), lines.customers_sent_bytes()
        start_at = time.time() + _STARTS_IN_S
        for player in (*servers, *customers):
            player.begin(start_at)
        try:
            for customer in customers:
                customer.expect("complete", began_s + _STARTS_IN_S + scenario.deadline_s)
        except Late as late:
            what = f"{scenario.name} with {variant}"
            raise SystemExit(
                f"{what}: {late} was not complete after {scenario.deadline_s:g} s"
            ) from None
        hub_share = (lines.hub_cpu_s() - hub_s) / (time.monotonic() - began_s)
        sent = lines.customers_sent_bytes() - sent
        (stage.root / "stop").touch()
        for player in (*customers, *servers):
            player.wait()
    return _outcome(stage, variant, hub_share, sent)


@contextlib.contextmanager
def _players(
    stage: Stage, lines: Lines, variant: str
) -> Iterator[tuple[list[Player], list[Player]]]:
    """Start the seeder and the customers. All are ended afterwards."""
    with contextlib.ExitStack() as stack:

        def start(number: int, who: str, module: str, order: dict[str, Any]) -> Player:
            command = [*lines.inside(number), sys.executable, "-m", f"tests.bench.swarm.{module}"]
            player = Player(who, [*command, json.dumps(order)])
            stack.callback(player.kill)
            return player

        servers: list[Player] = []
        if variant == NGINX:
            stack.enter_context(_nginx(stage, lines))
        else:
            order = {
                "address": lines.address(lines.tracker),
                "credential": str(stage.credential(lines.tracker)),
                "ca": str(stage.ca),
                "seeder": lines.address(0),
                "seeder_port": PEER_PORT,
            }
            tracker = start(lines.tracker, "the tracker", "announcing", order)
            tracker.expect("ready", time.monotonic() + _PREPARING_S)
            module = "customer" if variant == PLAIN else "seeder"
            servers.append(start(0, "the seeder", module, _seeder_order(stage, lines, variant)))
        customers = [
            start(
                number,
                f"customer {number}",
                "https_customer" if variant == NGINX else "customer",
                _customer_order(stage, lines, variant, number),
            )
            for number in range(1, lines.tracker)
        ]
        yield servers, customers


def _order(stage: Stage, lines: Lines, variant: str, number: int) -> dict[str, Any]:
    return {
        "address": lines.address(number),
        "credential": str(stage.credential(number)),
        "tracker": f"https://{TRACKER}:{TRACKER_PORT}/announce/bench",
        "plain": variant == PLAIN,
        "stop": str(stage.root / "stop"),
        "report": str(stage.report(number)),
        # A little later than ours, which tells who was too late.
        "deadline_s": stage.scenario.deadline_s + _PARTING_S,
    }


def _seeder_order(stage: Stage, lines: Lines, variant: str) -> dict[str, Any]:
    scenario = stage.scenario
    return _order(stage, lines, variant, 0) | {
        "complete": True,
        "arrives_s": 0.0,
        "stays_s": None,
        "torrents": [str(stage.torrent(release)) for release in scenario.releases],
        "folder": str(stage.origin),
        "policy": BALANCED if variant == WEB_SEED else variant,
        "host": str(stage.credential(lines.tracker)),
        "web_seed_port": https_customer.PORT if variant == WEB_SEED else None,
        "upload_limit_bytes_s": round(scenario.seeder_bytes_s) if scenario.limited else 0,
    }


def _customer_order(stage: Stage, lines: Lines, variant: str, number: int) -> dict[str, Any]:
    buyer = stage.scenario.buyers[number - 1]
    release = stage.scenario.releases[buyer.release]
    folder = stage.root / f"music-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return _order(stage, lines, variant, number) | {
        "complete": False,
        "arrives_s": buyer.arrives_s,
        "stays_s": stage.scenario.stays_s,
        "torrents": [str(stage.torrent(release))],
        "folder": str(folder),
        "ca": str(stage.ca),
        "web_seeds": [f"https://{SEEDER}:{https_customer.PORT}/{WEB_SEED_FOLDER}/"]
        if variant == WEB_SEED
        else [],
        "server": SEEDER,
        "url": f"https://{SEEDER}:{https_customer.PORT}/{release.name}/[00-{TRACKS - 1:02}].flac",
    }


@contextlib.contextmanager
def _nginx(stage: Stage, lines: Lines) -> Iterator[None]:
    """Serve the albums from the seeder's namespace."""
    configuration = stage.root / "nginx.conf"
    configuration.write_text(
        _NGINX.format(
            root=stage.root,
            address=lines.address(0),
            port=https_customer.PORT,
            credential=stage.credential(lines.tracker).with_suffix(".pem"),
            origin=stage.origin,
        )
    )
    command = [*lines.inside(0), "nginx", "-e", f"{stage.root}/nginx.log", "-c", str(configuration)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield  # a customer is ready when it can connect
    finally:
        process.terminate()  # its worker goes with it
        try:
            process.wait(_PARTING_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _outcome(stage: Stage, variant: str, hub_share: float, customers_sent_bytes: int) -> Outcome:
    buyers = stage.scenario.buyers
    reports = [json.loads(stage.report(n).read_text()) for n in range(1, len(buyers) + 1)]
    if variant == NGINX:
        seeder_bytes = sum(report["bytes"] for report in reports)
        slowest = None
    else:
        seeder = json.loads(stage.report(0).read_text())
        seeder_bytes = seeder["bytes"]
        slowest = slowest_bytes_s(
            [(buyer.arrives_s, report) for buyer, report in zip(buyers, reports, strict=True)],
            seeder["samples"],
            stage.scenario.seeder_bytes_s,
        )
    finished_s = [report["finished_s"] for report in reports]
    return Outcome(finished_s, seeder_bytes, slowest, round(hub_share, 3), customers_sent_bytes)
