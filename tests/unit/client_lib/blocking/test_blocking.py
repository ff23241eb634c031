"""The synchronous façade, over the fake store: threads, interrupts, errors, the end."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from client_lib import ClientSettings, Event, Finished, Progress, QueueState, Started, blocking
from client_lib.blocking.portal import THREAD_NAME, open_portal
from client_lib.download.queueing.requests import Resume
from client_lib.errors import DownloadError, LibraryInUse, LicensingRefused, UsageError
from client_lib.testing import Break, FakeStore, Stall

NAMES = [f"rel-{n:04}.flac-16-44" for n in range(1, 4)]


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    return ClientSettings(data_folder=tmp_path / "data", concurrent_albums=1)


def until(job: blocking.DownloadJob, kind: type[Event]) -> Event:
    return next(event for event in job.events() if isinstance(event, kind))


def test_a_whole_download(settings: ClientSettings, tmp_path: Path) -> None:
    store = FakeStore(rate_bytes_s=1 << 30)
    token = store.token(*[store.publish(name) for name in NAMES])
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        licences = client.redeem(token)
        assert client.licences(refresh=False) == licences
        with client.download(licences[:2], into=tmp_path / "music") as job:
            job.add(licences[2:])
            events = list(job.events())
            result = job.result()
            assert job.licences == licences
            assert len(job.queue) == 3
        assert [event for event in events if isinstance(event, Finished)] == list(result)
        assert {finding.state for finding in client.verify(licences[0])} == {"ok"}
        assert client.export(licences[0], tmp_path / "out").is_dir()
        assert job.result() == result
    assert job.summary().done == result
    assert len(job.outcomes) == 3
    assert list(job.events()) == []
    assert ours() == []


def test_commands_come_from_any_thread(settings: ClientSettings, tmp_path: Path) -> None:
    store = FakeStore()
    name = store.publish(NAMES[0], script=[Stall()])
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        (licence,) = client.redeem(store.token(name))
        with client.download([licence], into=tmp_path) as job:
            until(job, Started)
            states: list[QueueState] = []

            def command(number: int) -> None:
                job.pause(licence.licence_id)
                states.extend(entry.state for entry in client.queue())
                job.set_limits(up_bytes_s=number)

            threads = [threading.Thread(target=command, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert states == [QueueState.PAUSED] * 8
            client.change_queue(Resume((licence.licence_id,)))
            assert [entry.state for entry in job.queue] != [QueueState.PAUSED]


def test_errors_come_as_they_are(settings: ClientSettings, tmp_path: Path) -> None:
    store = FakeStore()
    broken = store.publish(NAMES[0], script=[Break(DownloadError("it broke"))])
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        with pytest.raises(LicensingRefused, match="not by the fake store"):
            client.redeem("garbage")
        licences = client.redeem(store.token(broken))
        with client.download(licences, into=tmp_path) as job:
            with (
                pytest.raises(LibraryInUse),
                client.download(licences, into=tmp_path),
            ):
                pass
            with pytest.raises(DownloadError, match="it broke"):
                job.result()
            with pytest.raises(UsageError, match="-1"):
                job.set_limits(up_bytes_s=-1)
        with pytest.raises(ZeroDivisionError), client.download(licences, into=tmp_path):
            raise ZeroDivisionError
    with pytest.raises(UsageError, match="closed"):
        client.redeem("anything")
    assert ours() == []
    with (
        pytest.raises(UsageError, match="no licensing service"),
        blocking.open_client(settings),
    ):
        pass
    assert ours() == []


def test_leaving_stops_what_would_never_end(settings: ClientSettings, tmp_path: Path) -> None:
    store = FakeStore()
    name = store.publish(NAMES[0], script=[Stall()])
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        licences = client.redeem(store.token(name))
        with client.download(licences, into=tmp_path) as job:
            until(job, Progress)
            with io.BufferedReader(job.open_track(licences[0].licence_id, "1")) as track:
                assert track.read(100_000) == bytes(100_000)
                assert track.seek(-3, io.SEEK_END) == 9_999_997
                assert track.read() == bytes(3)
            late = job.open_track(licences[0].licence_id, "1")
        late.close()
        assert late.closed
        assert job.summary().skipped == (name,)
        with pytest.raises(DownloadError, match="stopped"):
            job.result()


@pytest.mark.parametrize("what", ["job", "client"])
def test_closing_from_another_thread_ends_who_waits(
    what: str, settings: ClientSettings, tmp_path: Path
) -> None:
    store = FakeStore()
    name = store.publish(NAMES[0], script=[Stall()])
    started, ended = threading.Event(), threading.Event()
    opened: dict[str, blocking.Client | blocking.DownloadJob] = {}

    def run() -> None:
        with blocking.open_client(settings, opened_by=store.open_client) as client:
            licences = client.redeem(store.token(name))
            with client.download(licences, into=tmp_path) as job:
                opened.update(client=client, job=job)
                for event in job.events():
                    if isinstance(event, Started):
                        started.set()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20)
    opened[what].close()
    opened[what].close()  # twice is once
    thread.join(20)
    assert ended.is_set()
    assert ours() == []


def test_a_crash_inside_reaches_who_waits() -> None:
    async def crash() -> None:
        raise SystemError("inside")

    with open_portal() as portal:
        with pytest.raises(SystemError, match="inside"):
            portal.call(crash)
        assert portal.tell(lambda: 1) == 1
    assert portal.tell(lambda: 2) == 2


_INTERRUPTED = """
import sys, threading
from pathlib import Path
from client_lib import ClientSettings, Started, blocking
from client_lib.testing import FakeStore, Receive, Stall

store = FakeStore(rate_bytes_s=1 << 30)
name = store.publish("rel-0001.flac-16-44", script=[Receive(0.5), Stall()])
folder = Path(sys.argv[1])
settings = ClientSettings(data_folder=folder)
try:
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        licences = client.redeem(store.token(name))
        with client.download(licences, into=folder) as job:
            for event in job.events():
                if getattr(event, "verified_bytes", 0):
                    print("waiting", flush=True)
                    break
            job.result()
except KeyboardInterrupt:
    print("interrupted", [t.name for t in threading.enumerate() if "blocking" in t.name])
    with blocking.open_client(settings, opened_by=store.open_client) as client:
        with client.download(licences, into=folder) as job:
            print(next(e for e in job.events() if isinstance(e, Started)).resumed_bytes)
"""


def test_ctrl_c_stops_and_keeps(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()
    assert (process.returncode, rest) == (0, "interrupted []\n5000000\n")
