import datetime as dt
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from ephemeral_port_reserve import reserve

from client_lib.errors import AnnounceRefused, ConfigError, StorageError, UnreachableError
from client_lib.wire.certificates import SeederIdentity
from tests.integration.tracker.rig import FakeLicensing, Reachable, Rig, running_tracker
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki, licence_identity


async def test_a_restart_while_licensing_is_away_serves_from_disk(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    revoked = licensing.pki.issue(licence_identity(number=2))
    licensing.revoked.add(revoked.certificate.serial_number)
    async with running_tracker(tmp_path, licensing) as rig:
        with pytest.raises(AnnounceRefused, match=r"^revoked: "):
            await rig.announce(revoked)
    licensing.away = True
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(rig.pki.issue(licence_identity(number=1)), left_bytes=0)
        with pytest.raises(AnnounceRefused, match=r"^revoked: "):
            await rig.announce(revoked)
    assert licensing.certificates_issued == 1


async def test_a_restarted_tracker_hands_out_the_peers_that_it_had(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    leaves = [licensing.pki.issue(licence_identity(number=n)) for n in (1, 2)]
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(leaves[0], port=7001, left_bytes=0)
    async with running_tracker(tmp_path, licensing) as rig:
        response = await rig.announce(leaves[1], port=7002)
        assert [peer.port for peer in response.peers] == [7001]


async def test_a_snapshot_s_peers_are_forgotten_when_their_licence_is_revoked(
    tmp_path: Path,
) -> None:
    licensing = FakeLicensing(SwarmPki())
    stays, leaves, asks = (licensing.pki.issue(licence_identity(number=n)) for n in (1, 2, 3))
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(stays, port=7001, left_bytes=0)
        await rig.announce(leaves, port=7002, left_bytes=0)
    # Nobody has shown this certificate since the restart: only the snapshot knows whose it is.
    async with running_tracker(tmp_path, licensing) as rig:
        assert (await rig.announce(asks)).complete == 2
        licensing.revoked.add(leaves.certificate.serial_number)
        while (response := await rig.announce(asks)).complete == 2:
            pass
        assert [peer.port for peer in response.peers] == [7001]


async def test_a_licence_revoked_while_the_tracker_was_down_is_not_handed_out(
    tmp_path: Path,
) -> None:
    licensing = FakeLicensing(SwarmPki())
    stays, leaves, asks = (licensing.pki.issue(licence_identity(number=n)) for n in (1, 2, 3))
    async with running_tracker(tmp_path, licensing) as rig:
        await rig.announce(stays, port=7001, left_bytes=0)
        await rig.announce(leaves, port=7002, left_bytes=0)
    licensing.revoked.add(leaves.certificate.serial_number)
    async with running_tracker(tmp_path, licensing) as rig:
        assert [peer.port for peer in (await rig.announce(asks)).peers] == [7001]


async def test_a_second_tracker_in_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing) as rig:
        with pytest.raises(ExceptionGroup) as failed:
            async with running_tracker(tmp_path, licensing):
                pass
        assert failed.group_contains(StorageError, match="another tracker uses this folder")
        await rig.announce(rig.pki.issue(licence_identity()), left_bytes=0)


async def test_without_a_revocation_list_nobody_is_admitted(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing):
        pass
    (tmp_path / "tracker" / "crl.der").unlink()
    licensing.away = True
    async with running_tracker(tmp_path, licensing) as rig:
        with pytest.raises(AnnounceRefused, match=r"^revocations-unknown: ") as refused:
            await rig.announce(rig.pki.issue(licence_identity()))
        assert refused.value.retry_in_s == 300


async def test_a_first_start_without_licensing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as failed:
        async with running_tracker(tmp_path, FakeLicensing(SwarmPki(), away=True)):
            pass
    assert failed.group_contains(UnreachableError, match="connection refused")


async def test_an_api_key_of_another_role_is_named(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki(), identity=SeederIdentity("origin"))
    with pytest.raises(ExceptionGroup) as failed:
        async with running_tracker(tmp_path, licensing):
            pass
    assert failed.group_contains(ConfigError, match="not a tracker's")


async def served_certificate(rig: Rig) -> bytes:
    async with rig.connected(rig.pki.issue(licence_identity())) as client:
        certificate = client.stream.getpeercert(binary_form=True)
        assert isinstance(certificate, bytes)
        return certificate


async def test_the_host_certificate_is_renewed_while_serving(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki(), host_lifetime=dt.timedelta(seconds=6))
    async with running_tracker(tmp_path, licensing) as rig:
        first = await served_certificate(rig)
        licensing.host_lifetime = None
        while await served_certificate(rig) == first:
            pass
        assert licensing.certificates_issued >= 2
        key_file = tmp_path / "tracker" / "host.pem"
        assert key_file.stat().st_mode & 0o777 == 0o600


async def run_tracker_to_its_end(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a tracker process that cannot start."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "tracker", "serve", *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def nobody_s_url() -> str:
    return f"https://localhost:{reserve()}"


@pytest.mark.parametrize(
    ("content", "arguments", "exit_code", "words"),
    [
        ("prot = 1\n", [], 2, "unknown key `prot`"),
        ("", ["--port", "70000"], 2, "70000"),
        ("", ["--licensing-ca", "missing.pem"], 1, "missing.pem"),
        ("", ["--api-key-file", "missing.key"], 1, "missing.key"),
        ("", [], 4, "https://localhost:"),
    ],
)
async def test_a_start_that_cannot_be_is_one_clear_line(
    tmp_path: Path, content: str, arguments: list[str], exit_code: int, words: str
) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text(content)
    code, error = await run_tracker_to_its_end(
        "--config",
        str(config),
        "--data",
        str(tmp_path / "data"),
        "--licensing-url",
        nobody_s_url(),
        *arguments,
    )
    assert code == exit_code
    (line,) = error.splitlines()
    assert line.startswith("albumswarm-tracker: error: ")
    assert words in line


async def test_a_process_serves_until_sigterm_and_a_second_one_finds_the_port_taken(
    tmp_path: Path,
) -> None:
    licensing = FakeLicensing(SwarmPki())
    leaf = licensing.pki.issue(licence_identity())
    async with running_tracker(tmp_path, licensing):
        pass  # leaves all on disk that a start without licensing needs
    shared = ["--data", str(tmp_path / "tracker"), "--licensing-url", nobody_s_url()]
    start = [sys.executable, "-m", "tracker", "serve", "--host", "localhost", "--port", "0"]

    async def run(task_status: trio.TaskStatus[trio.Process]) -> None:
        await trio.run_process(
            start + shared, stderr=subprocess.PIPE, check=False, task_status=task_status
        )

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(run)
            assert process.stderr is not None
            log = b""
            while b'"serving"' not in log or not log.endswith(b"\n"):
                log += await process.stderr.receive_some()
            (serving,) = [json.loads(x) for x in log.splitlines() if b'"serving"' in x]
            host, _, port = serving["address"].partition(":")
            assert host == "localhost"
            tracker = Reachable(tmp_path, licensing.pki.ca_pem, int(port))
            assert (await tracker.announce(leaf, left_bytes=0)).complete == 1
            code, error = await run_tracker_to_its_end(
                "--host", "localhost", "--port", port, *shared
            )
            assert code == 2
            assert f"cannot listen on localhost:{port}" in error
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
