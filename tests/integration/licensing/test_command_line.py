"""`albumswarm-licensing` as a real process: what it prints, leaves behind and exits with."""

import json
import signal
import stat
from pathlib import Path

import pytest
import trio

from client_lib.wire.problem import ProblemType
from tests.integration.licensing.commands import init, run, serving
from tests.integration.licensing.running import ALBUM, Running, new_secret, problem
from tests.patience import PATIENCE_S

REDEMPTIONS_AT_ONCE = 24


async def test_init_makes_a_private_folder_and_never_touches_it_again(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    code, out, err = await init(data)
    assert (code, err) == (0, "")
    assert str(data) in out
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    secrets = ["swarm-ca.key.pem", "signer.pem", "test-store.key.pem", "ledger.sqlite3"]
    for name in secrets:
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    code, out, err = await init(data)
    assert (code, out) == (2, "")
    assert "initialised already" in err
    assert err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


async def test_interrupted_init_can_be_repeated_and_keeps_the_ca_key(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    await init(data)
    key = (data / "swarm-ca.key.pem").read_bytes()
    for lost in ("licensing.toml", "swarm-ca.pem", "ledger.sqlite3"):
        (data / lost).unlink()
    assert (await init(data))[0] == 0
    assert (data / "swarm-ca.key.pem").read_bytes() == key


async def test_init_refuses_what_cannot_work_and_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    music = tmp_path / "music"
    music.mkdir()
    (music / "album.flac").touch()
    for where, more, message in (
        (data, ("--public-url", "http://localhost"), "https://host:port"),
        (data, ("--tracker", "https://t.example/announce"), "https://host:port"),
        (data, ("--listen", "nonsense"), "not host:port"),
        (data, ("--store=shop",), "--store"),
        (data, ("--nonsense", "1"), "--nonsense"),
        (music, (), "album.flac"),
    ):
        code, out, err = await init(where, *more)
        assert (code, out) == (2, ""), more
        assert message in err
        assert err.count("\n") == 1
        assert "Traceback" not in err
    assert not data.exists()
    assert [path.name for path in music.iterdir()] == ["album.flac"]


async def test_bad_commands_are_one_line_and_the_right_exit_code(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    await init(data)
    at = ("--data", str(data))
    token = ("mint-token", "--customer", "c", *at)
    for arguments, expected, message in (
        (("serve", "--data", str(tmp_path / "no")), 2, "no licensing folder"),
        (("serve", "--config", str(tmp_path / "no.toml")), 2, "no.toml"),
        (("serve", "--listen", "x", *at), 2, "not host:port"),
        ((*token, "--item", "no dot"), 2, "not a torrent name"),
        ((*token, "--item", ALBUM, "--expires-in", "soon"), 2, "not a duration"),
        ((*token, "--item", ALBUM, "--currency", "euro"), 2, "currency"),
        (("revoke", *at), 2, "name one thing"),
        (("revoke", "--licence", "x", *at), 2, "licence id"),
        (("revoke", "--licence", "a" * 26, *at), 3, "no licence"),
        (("revoke", "--purchase", "p", *at), 3, "no redeemed purchase p"),
        (("revoke", "--api-key", "x", *at), 3, "no valid API key"),
        (("api-key", "king", *at), 2, "king"),
        (("api-key", "tracker", *at), 2, "--host"),
        (("api-key", "tracker", "--host", "UPPER", *at), 2, "host name"),
        (("api-key", "seeder", "--id", "no blanks", *at), 2, "id"),
    ):
        code, out, err = await run(*arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err, (arguments, err)
        assert err.count("\n") == 1, err
    (data / "swarm-ca.key.pem").write_text("nonsense")
    code, _, err = await run("serve", *at)
    assert (code, err.count("\n")) == (1, 1)
    assert "nonsense" not in err


async def test_serve_tells_its_address_sells_and_stops_on_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    await init(data)
    async with serving(data) as (process, service):
        await service.publish()
        code, token, _ = await run(
            "mint-token", "--data", str(data), "--customer", "c", "--item", ALBUM
        )
        assert code == 0
        async with service.client(new_secret()) as client:
            (licence,) = (await client.redeem(token.strip())).licences
            assert licence.name == ALBUM
        listen = ("--listen", service.address)
        code, _, err = await run("serve", "--data", str(data), *listen)
        assert (code, err.count("\n")) == (2, 1)
        assert f"cannot listen on {service.address}" in err
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE_S):
            assert await process.wait() == 0


async def test_kill_loses_no_acknowledged_redemption(tmp_path: Path) -> None:
    data = tmp_path / "licensing"
    await init(data)
    acknowledged: list[tuple[str, str, bytes]] = []
    spent = 0

    async def customer(service: Running, enough: trio.Event, victim: trio.Process) -> None:
        nonlocal spent
        secret = new_secret()
        async with service.http(secret.bearer) as http:
            while True:
                token = service.token()
                body = {"payment_token": token}
                try:
                    answer = await http.post("/v1/redemptions", json=body)
                except OSError:
                    return
                except Exception as error:
                    # Killed under us, whatever the client calls it.
                    if victim.returncode is None and not enough.is_set():
                        raise AssertionError("refused while alive") from error
                    return
                assert answer.status_code == 201
                spent += 1
                acknowledged.append((secret.bearer, token, answer.content))
                if spent % 40 == 0:
                    enough.set()

    for _ in range(3):
        async with serving(data) as (process, service):
            await service.publish()
            enough = trio.Event()
            with trio.fail_after(PATIENCE_S):
                async with trio.open_nursery() as nursery:
                    for _ in range(REDEMPTIONS_AT_ONCE):
                        nursery.start_soon(customer, service, enough, process)
                    await enough.wait()
                    process.send_signal(signal.SIGKILL)
    assert len(acknowledged) >= 100
    async with serving(data) as (_, service):
        for bearer, token, content in acknowledged:
            async with service.http(bearer) as http:
                again = await http.post("/v1/redemptions", json={"payment_token": token})
                assert (again.status_code, again.content) == (200, content)
        async with service.http(new_secret().bearer) as http:
            stolen = await http.post("/v1/redemptions", json={"payment_token": acknowledged[0][1]})
            assert problem(stolen) is ProblemType.TOKEN_ALREADY_REDEEMED


@pytest.mark.parametrize("role", ["publisher", "seeder"])
async def test_api_key_is_printed_once_and_stored_as_a_hash(tmp_path: Path, role: str) -> None:
    data = tmp_path / "licensing"
    await init(data)
    code, out, _ = await run("api-key", role, "--id", "node-1", "--data", str(data), "--json")
    assert code == 0
    answer = json.loads(out)
    assert (answer["id"], answer["role"]) == ("node-1", role)
    for path in data.iterdir():
        assert answer["key"].encode() not in path.read_bytes()
