"""`albumswarm-seeder` as an operator runs it: real processes, a real licensing, a real swarm."""

import contextlib
import dataclasses
import datetime as dt
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trio
from cryptography import x509

from client_lib.transport.credential import request_credential
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.certificates import load_certificate
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from licensing.ledger import Role
from licensing.stores import open_ledger
from tests.integration.licensing.running import Running, found_folder, new_secret, running
from tests.integration.seeder.rig import HOST, customer, eventually, files_below, make_album
from tests.patience import PATIENCE_S
from tests.pki import Leaf, utc_now

NAME = TorrentName("rel-0001.flac-16-44")
DAY = dt.timedelta(days=1)


def ca_of(service: Running) -> x509.Certificate:
    return load_certificate(service.ca_pem)


async def seeder(*arguments: object) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error."""
    command = [sys.executable, "-m", "seeder", *map(str, arguments)]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@dataclass
class Serving:
    """A `serve` process. `events` are its log lines so far."""

    process: trio.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    _more: trio.Event = field(default_factory=trio.Event)

    async def read_log(self, task_status: trio.TaskStatus[None]) -> None:
        buffer = b""
        assert self.process.stderr is not None
        async for chunk in self.process.stderr:
            *lines, buffer = (buffer + chunk).split(b"\n")
            self.events += [json.loads(line) for line in lines]
            self._more.set()
            self._more = trio.Event()

    async def event(self, kind: str, /, **fields: object) -> dict[str, Any]:
        while True:
            for event in self.events:
                if event["event"] == kind and fields.items() <= event.items():
                    return event
            await self._more.wait()


@dataclass
class Shop:
    """A licensing service, a tracker that writes down who announces, and a seeder's folders."""

    licensing: Running
    root: Path
    tracker_url: str
    announces: list[tuple[str, str]]
    keys: dict[Role, Path]
    data: Path

    @property
    def serve_options(self) -> tuple[object, ...]:
        return ("--tracker", self.tracker_url, *self.licensing_options(Role.SEEDER))

    def licensing_options(self, role: Role) -> tuple[object, ...]:
        url, ca = self.licensing.url, self.licensing.folder.ca
        return (
            *("--licensing-url", url, "--licensing-ca", ca),
            *("--api-key-file", self.keys[role], "--data", self.data),
        )

    async def publish(self, folder: Path, release: str = "rel-0001") -> tuple[int, str, str]:
        return await seeder(
            *("publish", folder, "--release", release, "--format", "flac-16-44", "--json"),
            *self.licensing_options(Role.PUBLISHER),
        )

    @contextlib.asynccontextmanager
    async def serving(self, *options: object) -> AsyncIterator[Serving]:
        command = [sys.executable, "-m", "seeder", "serve", "--port", "0", "--poll-s", "0.2"]
        command += map(str, (*self.serve_options, *options))
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(trio.run_process, command, stderr=-1, check=False)
            )
            serving = Serving(process)
            nursery.start_soon(serving.read_log, trio.TASK_STATUS_IGNORED)
            try:
                yield serving
            finally:
                if process.returncode is None:
                    process.kill()

    async def buy(self, name: TorrentName, folder: Path) -> tuple[bytes, Leaf]:
        """Redeem a purchase; the torrent and the licence certificate."""
        async with self.licensing.client(new_secret()) as client:
            (licence,) = (await client.redeem(self.licensing.token(name))).licences
            credential = await request_credential(
                folder / f"{licence.licence_id}.pem",
                partial(client.licence_certificate, licence.licence_id),
                ca=ca_of(self.licensing),
                now=utc_now(),
            )
            torrent = await client.licence_torrent(licence.licence_id)
        return torrent, Leaf(credential.certificate, credential.key)


@contextlib.asynccontextmanager
async def recording_tracker(service: Running, root: Path) -> AsyncIterator[tuple[str, list[Any]]]:
    """An mTLS tracker without peers, that notes (path, event) of every announce."""
    announces: list[tuple[str, str]] = []
    key = await service.api_key(Role.TRACKER, "localhost", key_id="tracker-1")
    async with service.client(key) as client:
        credential = await request_credential(
            root / "tracker.pem", client.host_certificate, ca=ca_of(service), now=utc_now()
        )

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = await stream.receive_some()
                if not chunk:
                    return
                head += chunk
            path, _, query = head.split()[1].decode().partition("?")
            announces.append((path, parse_qs(query).get("event", [""])[0]))
            body = b"d8:intervali1800e5:peers0:e"
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            await stream.send_all(body)
            await stream.aclose()

    context = mutual_server_context(credential.path, service.ca_pem)
    async with trio.open_nursery() as nursery:
        listeners: list[Any] = await nursery.start(
            partial(trio.serve_ssl_over_tcp, answer, 0, context, host=HOST, https_compatible=True)
        )
        port = listeners[0].transport_listener.socket.getsockname()[1]
        yield f"https://localhost:{port}", announces
        nursery.cancel_scope.cancel()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service, recording_tracker(service, tmp_path) as (url, announces):
        keys = {}
        for role in (Role.PUBLISHER, Role.SEEDER):
            keys[role] = tmp_path / f"{role.value}.key"
            secret = await service.api_key(role, key_id=f"{role.value}-1")
            keys[role].write_text(secret + "\n")
        yield Shop(service, tmp_path, url, announces, keys, tmp_path / "data")


def status_of(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop.data / "status.json").read_bytes())
    return found


async def test_published_album_is_sold_fetched_and_counted(shop: Shop) -> None:
    album = make_album(shop.root / "Album")
    with trio.fail_after(PATIENCE_S):
        async with shop.serving() as serving:
            event = await serving.event("serving")
            assert event["seeder_id"] == "seeder-1"
            code, out, err = await shop.publish(album)
            assert (code, err) == (0, "")
            assert json.loads(out)["name"] == NAME
            torrent, leaf = await shop.buy(NAME, shop.root)
            await serving.event("catalogue read", position=1)
            async with customer(torrent, leaf, shop.root / "c") as (_, own):
                own.connect(HOST, event["port"])
                await own.wait_complete()
            size_bytes = Metainfo.from_bytes(torrent).size_bytes
            await eventually(lambda: status_of(shop)["uploaded_total_bytes"] >= size_bytes)
            serving.process.send_signal(signal.SIGTERM)
            assert await serving.process.wait() == 0
        code, out, err = await seeder("status", "--data", shop.data, "--json")
    assert files_below(shop.root / "c" / NAME) == files_below(album)
    assert (code, err) == (0, "")
    status = json.loads(out)
    assert (status["state"], status["port"]) == ("stopped", event["port"])
    assert [release["name"] for release in status["releases"]] == [NAME]
    assert status["releases"][0]["uploaded_total_bytes"] == size_bytes
    announces = [event for path, event in shop.announces if path == "/announce/seeder-1"]
    assert (announces[0], announces[-1]) == ("started", "stopped")
    secrets = [key.read_text().strip() for key in shop.keys.values()]
    assert not any(secret in out + json.dumps(serving.events) for secret in secrets)


async def test_node_serves_from_disk_while_licensing_is_away(shop: Shop) -> None:
    album = make_album(shop.root / "Album")
    with trio.fail_after(PATIENCE_S):
        await shop.publish(album)
        async with shop.serving() as serving:
            await serving.event("catalogue read", position=1)
        torrent, leaf = await shop.buy(NAME, shop.root)
        shop.licensing.stop.set()
        async with shop.serving() as serving:
            port = (await serving.event("serving"))["port"]
            await serving.event("catalogue not read")
            async with customer(torrent, leaf, shop.root / "c") as (_, own):
                own.connect(HOST, port)
                await own.wait_complete()
    assert files_below(shop.root / "c" / NAME) == files_below(album)


async def test_publishing_again_says_so_and_other_content_is_refused(shop: Shop) -> None:
    album = make_album(shop.root / "Album")
    with trio.fail_after(PATIENCE_S):
        first = await shop.publish(album)
        again = await shop.publish(album)
        assert again == first
        arguments = ("publish", album, "--release", "rel-0001", "--format", "flac-16-44")
        code, out, err = await seeder(*arguments, *shop.licensing_options(Role.PUBLISHER))
        assert (code, err) == (0, "")
        assert out.startswith("already published")
        before = files_below(shop.data)
        (album / "02.flac").write_bytes(b"other")
        code, out, err = await shop.publish(album)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "other content" in err
    assert files_below(shop.data) == before


async def test_rights_holders_are_published_and_changed_by_publishing_again(shop: Shop) -> None:
    album = make_album(shop.root / "Album")

    async def publish(*holders: str) -> tuple[int, str, str]:
        named = [word for holder in holders for word in ("--rights-holder", holder)]
        arguments = ("publish", album, "--release", "rel-0001", "--format", "flac-16-44", *named)
        return await seeder(*arguments, *shop.licensing_options(Role.PUBLISHER))

    async def shares() -> list[tuple[tuple[str, int], ...]]:
        async with shop.licensing.client(new_secret()) as client:
            await client.redeem(shop.licensing.token(NAME))
        async with open_ledger(shop.licensing.folder, shop.licensing.config) as ledger:
            sold = await ledger.sold_between(utc_now() - DAY, utc_now() + DAY)
        return [tuple((holder.name, holder.share_bp) for holder in s.holders) for s in sold]

    with trio.fail_after(PATIENCE_S):
        code, _, err = await publish("A = B=7000", "Björk=3000")
        assert (code, err) == (0, "")
        first = (("A = B", 7000), ("Björk", 3000))
        assert await shares() == [first]
        code, out, _ = await publish("Björk=10000")
        assert (code, "rights as named" in out) == (0, True)
        assert await shares() == [first, (("Björk", 10_000),)]
        for wrong in (("Björk=9999",), ("Björk",), ("=10000",), ("Björk=1e4",), ("a=5000",) * 2):
            code, out, err = await publish(*wrong)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "--rights-holder" in err


async def test_killed_publish_is_completed_by_the_same_command(shop: Shop) -> None:
    album = make_album(shop.root / "Album", size_bytes=60_000_000)
    command = [sys.executable, "-m", "seeder", "publish", str(album)]
    command += ["--release", "rel-0001", "--format", "flac-16-44"]
    command += map(str, shop.licensing_options(Role.PUBLISHER))
    staging = shop.data / "origin" / ".staging"
    with trio.fail_after(PATIENCE_S):
        for _ in range(3):
            await run_and_kill(command, staging)
        code, _, err = await shop.publish(album)
        assert (code, err) == (0, "")
    origin = shop.data / "origin"
    assert files_below(origin / NAME) == files_below(album)
    assert [path.name for path in (origin / ".staging").iterdir()] == ["lock"]


async def run_and_kill(command: list[str], staging: Path) -> None:
    process = await trio.lowlevel.open_process(command)
    await eventually(lambda: any(staging.glob("*/*")) or process.poll() is not None)
    process.kill()
    await process.wait()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("serve", "--data", "{}/d"), 2, "--tracker"),
        (("serve", "--data", "{}/d", "--tracker", "http://localhost:1"), 2, "https://"),
        (
            ("serve", "--upload-limit", "fast", "--tracker", "https://a"),
            2,
            "upload_limit: 'fast' is not a number of bytes",
        ),
        (
            ("serve", "--origin", "s3://B", "--data", "{}/d", "--tracker", "https://a"),
            2,
            "s3://BUCKET",
        ),
        (("serve", "--config", "{}/none.toml"), 2, "none.toml"),
        (("serve", "--config", "{}/bad.toml"), 2, "unknown key `uplod_limit`"),
        (
            ("serve", "--metrics-listen", "0.0.0.0:9", "--data", "{}/d", "--tracker", "https://a"),
            2,
            "on loopback",
        ),
        (("status", "--data", "{}/d"), 1, "no seeder has served"),
        (("status",), 2, "--data"),
        (("drain", "--data", "{}/d"), 4, "no seeder serves from this folder"),
        (("drain", "--data", "{}/d", "--deadline", "soon"), 2, "--deadline 'soon'"),
        (("drain", "--data", "{}/d", "--undo", "--wait"), 2, "--undo and --wait"),
        (("plan",), 2, "--purchases-per-day"),
        (("plan", "--purchases-per-day", "1", "--album", "big"), 2, "--album: 'big' is not"),
        (("plan", "--purchases-per-day", "-1"), 2, "--purchases-per-day: Expected"),
        (("serve", "--data", "{}/d", "--poll-s", "-3"), 2, "--poll-s: Expected"),
        (("plan", "--purchases-per-day", "1", "--line", "0"), 2, "--line: Expected"),
        (("publish", "{}/none", "--release", "A", "--format", "flac"), 1, "release id"),
        (("publish", "{}", "--release", "a"), 2, "--format"),
        (
            (
                *("publish", "{}/none", "--release", "a", "--format", "flac", "--data", "{}/d"),
                *("--licensing-url", "https://localhost:1", "--api-key-file", "{}/key"),
            ),
            1,
            "none",
        ),
        (
            (
                *("publish", "{}/album", "--release", "a", "--format", "flac", "--data", "{}/d"),
                *("--licensing-url", "https://localhost:1", "--api-key-file", "{}/key"),
            ),
            4,
            "https://localhost:1",
        ),
    ],
)
async def test_bad_input_is_one_clear_line(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("uplod_limit = 3\n")
    (tmp_path / "key").write_text("key\n")
    make_album(tmp_path / "album", size_bytes=1)
    before = files_below(tmp_path)
    with trio.fail_after(PATIENCE_S):
        got, out, err = await seeder(*(text.format(tmp_path) for text in arguments))
    assert (got, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert files_below(tmp_path) == before


async def test_port_in_use_and_busy_folder_are_named(shop: Shop) -> None:
    with trio.fail_after(PATIENCE_S):
        async with shop.serving() as serving:
            port = (await serving.event("serving"))["port"]
            code, _, err = await seeder("serve", "--port", 0, *shop.serve_options)
            assert code == 1
            assert "another seeder is serving" in err
            other = dataclasses.replace(shop, data=shop.root / "other")
            code, _, err = await seeder("serve", "--port", port, *other.serve_options)
            assert code == 2
            assert f"cannot listen on *:{port}" in err
