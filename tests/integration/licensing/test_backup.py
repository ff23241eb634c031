"""Backup while serving, restore on an empty machine: customers notice nothing."""

import dataclasses
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from client_lib.errors import StorageError, UsageError
from client_lib.wire import certificates
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.signature import verify_stamp
from licensing.backups.restoring import set_in_toml
from licensing.cli.audit import audit
from licensing.cli.backup import backup, restore
from licensing.config import load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.passphrase import ENVIRONMENT_VARIABLE
from licensing.stores import open_ledger
from tests.contract.histories import live
from tests.integration.licensing.commands import COMMAND, init, run, serving
from tests.integration.licensing.running import Running, found_folder, new_secret, running
from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer

NewLedger = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger(request: pytest.FixtureRequest) -> NewLedger:
    """`ledger` of a new service, on either store."""
    if request.param == "sqlite":
        return lambda: "ledger.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery staple\n")
    return path


@dataclasses.dataclass
class Customer:
    """A device, and what it got for its money."""

    secret: DeviceSecret
    licences: tuple[LicenceRecord, ...]
    torrent: bytes

    @classmethod
    async def buy(cls, service: Running) -> "Customer":
        secret = new_secret()
        async with service.client(secret) as client:
            licences = (await client.redeem(service.token())).licences
            return cls(secret, licences, await client.licence_torrent(licences[0].licence_id))

    async def require_everything(self, service: Running) -> None:
        """List, renew, fetch again: with what the device had before."""
        ca = certificates.load_certificate(service.ca_pem)
        (licence,) = self.licences
        key = certificates.new_key()
        async with service.client(self.secret) as client:
            assert (await client.library()).licences == self.licences
            answer = await client.licence_certificate(
                licence.licence_id, certificates.make_csr(key)
            )
            torrent = await client.licence_torrent(licence.licence_id)
        leaf = certificates.load_certificate(answer.certificate)
        certificates.verify_issued(leaf, ca, utc_now())
        again, before = Metainfo.from_bytes(torrent), Metainfo.from_bytes(self.torrent)
        assert again.info_hash == before.info_hash
        assert again.announce_tiers == before.announce_tiers
        verify_stamp(again, ca=ca, now=utc_now(), store="com.example.shop")


async def _sell_on(
    service: Running, sold: list[Customer], enough: trio.Event, backed_up: trio.Event
) -> None:
    while not (enough.is_set() and backed_up.is_set()):
        sold.append(await Customer.buy(service))
        if len(sold) >= 12:
            enough.set()


async def test_restored_service_serves_every_customer_as_before(
    tmp_path: Path, new_ledger: NewLedger, passphrase: Path
) -> None:
    data, other, file = tmp_path / "licensing", tmp_path / "other", str(tmp_path / "b.backup")
    given = ("--passphrase-file", str(passphrase), "--data")
    assert (await init(data, "--ledger", new_ledger()))[0] == 0
    before: list[Customer] = []
    with trio.fail_after(PATIENCE_S):
        async with serving(data) as (_, service), trio.open_nursery() as nursery:
            await service.publish()
            before.append(await Customer.buy(service))
            sold: list[Customer] = []
            enough, backed_up = trio.Event(), trio.Event()
            for _ in range(4):
                nursery.start_soon(_sell_on, service, sold, enough, backed_up)
            code, out, err = await run("backup", file, *given, str(data), "--json")
            assert code == 0, err
            made = json.loads(out)
            backed_up.set()
        size = Path(file).stat()
        assert (size.st_size, stat.S_IMODE(size.st_mode)) == (made["size_bytes"], 0o600)
        content = Path(file).read_bytes()
        assert b"PRIVATE KEY" not in content
        assert before[0].secret.bearer.encode() not in content

        ledger = new_ledger()
        where = ("--ledger", ledger) if "://" in ledger else ()
        at = ("--data", str(other))
        code, out, err = await run("restore", file, *given, str(other), *where)
        assert code == 0, err
        assert f"{made['events']} events" in out
        assert (other / "swarm-ca.key.pem").read_bytes() == (data / "swarm-ca.key.pem").read_bytes()
        for path in other.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 in (0, 0o044), path
        assert not list(tmp_path.glob(".other*"))
        code, out, err = await run("audit", *at, "--json")
        assert (code, json.loads(out)["events"]) == (0, made["events"]), err
        async with serving(other) as (_, restored):
            for customer in before:
                await customer.require_everything(restored)
            # And it sells on, to the same shop's customers and new ones.
            await (await Customer.buy(restored)).require_everything(restored)
        assert (await run("audit", *at))[0] == 0


async def test_ledger_moves_between_sqlite_and_postgresql(
    tmp_path: Path, postgres: PostgresServer, passphrase: Path
) -> None:
    first = await found_folder(tmp_path / "first")
    second, third = (DataFolder(tmp_path / name) for name in ("second", "third"))
    one, two = (tmp_path / name for name in ("one.backup", "two.backup"))
    database = postgres.new_database()
    async with running(first) as service:
        await service.publish()
        customer = await Customer.buy(service)
    note = "\n# the operator's own note\n"
    first.config.write_text(first.config.read_text() + note)
    await backup(one, passphrase_file=passphrase, data=first.root)
    await restore(one, passphrase_file=passphrase, data=second.root, ledger=database)
    assert note in second.config.read_text()
    async with running(second) as service:
        await customer.require_everything(service)
    with pytest.raises(StorageError, match="holds a ledger already"):
        await restore(one, passphrase_file=passphrase, data=third.root, ledger=database)
    await backup(two, passphrase_file=passphrase, data=second.root)
    with pytest.raises(UsageError, match="--ledger"):
        await restore(two, passphrase_file=passphrase, data=third.root)
    for wrong in ("/ledger.sqlite3", "../ledger.sqlite3"):
        with pytest.raises(UsageError, match="a file in the new folder"):
            await restore(two, passphrase_file=passphrase, data=third.root, ledger=wrong)
    assert not third.root.exists()
    await restore(two, passphrase_file=passphrase, data=third.root, ledger="ledger.sqlite3")
    await audit(data=third.root)
    async with running(third) as service:
        await customer.require_everything(service)


async def test_killed_restore_leaves_nothing_that_looks_finished(
    tmp_path: Path, new_ledger: NewLedger, passphrase: Path
) -> None:
    folder = await found_folder(tmp_path / "licensing", ledger=new_ledger())
    other, file = DataFolder(tmp_path / "other"), tmp_path / "b.backup"
    async with open_ledger(folder, load_licensing_config(folder.root, None)) as ledger:
        await live(ledger)
    await backup(file, passphrase_file=passphrase, data=folder.root)
    target = new_ledger()
    command = [*COMMAND, "restore", file, "--passphrase-file", passphrase, "--ledger", target]
    staging = tmp_path / ".other.restoring"
    process = await trio.lowlevel.open_process([*map(str, command), "--data", str(other.root)])
    with trio.fail_after(PATIENCE_S):
        while not staging.exists() or not any(staging.iterdir()):
            assert process.poll() is None
            await trio.lowlevel.checkpoint()
        process.kill()
        await process.wait()
    assert not other.root.exists()

    async def restore_again() -> None:
        await restore(file, passphrase_file=passphrase, data=other.root, ledger=target)
        await audit(data=other.root)

    await restore_again()
    assert not staging.exists()
    # Killed between the database's commit and the folder's last step.
    shutil.rmtree(other.root)
    await restore_again()


@pytest.mark.parametrize("planted", ["a link", "a folder"])
async def test_what_others_put_in_a_restore_s_way_is_not_touched(
    tmp_path: Path, passphrase: Path, planted: str
) -> None:
    folder = await found_folder(tmp_path / "licensing")
    other, file, theirs = tmp_path / "other", tmp_path / "b.backup", tmp_path / "theirs"
    await backup(file, passphrase_file=passphrase, data=folder.root)
    theirs.mkdir()
    theirs.chmod(0o777)
    (theirs / "precious").touch()
    staging = tmp_path / ".other.restoring"
    if planted == "a link":
        staging.symlink_to(theirs)
    else:
        staging = theirs.rename(staging)
    with pytest.raises((StorageError, UsageError), match="restor"):
        await restore(file, passphrase_file=passphrase, data=other)
    assert [path.name for path in staging.iterdir()] == ["precious"]
    assert not other.exists()


async def test_damaged_backup_and_wrong_passphrase_restore_nothing(
    tmp_path: Path, passphrase: Path
) -> None:
    folder = await found_folder(tmp_path / "licensing")
    other, file = tmp_path / "other", tmp_path / "b.backup"
    await backup(file, passphrase_file=passphrase, data=folder.root)
    whole = file.read_bytes()
    wrong, empty, cut, changed, note = (
        tmp_path / name for name in ("wrong", "empty", "cut", "changed", "note")
    )
    wrong.write_text("battery staple")
    empty.touch()
    cut.write_bytes(whole[:-1])
    changed.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    note.write_text("no backup")
    for what, secret, expected, message in (
        (cut, passphrase, StorageError, "damaged or cut off"),
        (changed, passphrase, StorageError, "damaged or cut off"),
        (note, passphrase, StorageError, "not a backup"),
        (tmp_path / "nothing", passphrase, StorageError, "nothing"),
        (file, wrong, StorageError, "the passphrase is wrong"),
        (file, empty, UsageError, "the passphrase is empty"),
        (file, tmp_path / "nowhere", UsageError, "nowhere"),
    ):
        with pytest.raises(expected, match=message):
            await restore(what, passphrase_file=secret, data=other)
        assert not other.exists()
    assert not list(tmp_path.glob(".other*"))


async def test_nothing_that_exists_is_overwritten(tmp_path: Path, passphrase: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    file = tmp_path / "b.backup"
    await backup(file, passphrase_file=passphrase, data=folder.root)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        await backup(file, passphrase_file=passphrase, data=folder.root)
    with pytest.raises(UsageError, match="not an empty folder"):
        await restore(file, passphrase_file=passphrase, data=folder.root)
    assert file.read_bytes() == before
    with pytest.raises(StorageError, match="cannot write"):
        await backup(tmp_path / "no" / "b", passphrase_file=passphrase, data=folder.root)
    assert not list(tmp_path.glob(".*"))
    empty = tmp_path / "empty"
    empty.mkdir()
    await restore(file, passphrase_file=passphrase, data=empty)
    await audit(data=empty)


async def test_files_named_in_the_configuration_are_in_the_backup(
    tmp_path: Path, passphrase: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = await found_folder(tmp_path / "licensing")
    other, file = tmp_path / "other", tmp_path / "b.backup"
    key = folder.test_store_public_key.read_bytes()
    stranger, friend = tmp_path / "elsewhere" / "shop.pem", folder.root / "keys" / "shop.pem"
    for path in (stranger, friend):
        path.parent.mkdir()
        path.write_bytes(key)
    (folder.root / "keys" / "shop.jwks").write_text('{"keys": []}')
    with folder.config.open("a") as config:
        config.write(
            f'[[issuers]]\nname = "a"\nkeys = {{ a = "{stranger}" }}\n'
            '[[issuers]]\nname = "b"\nkeys = { b = "keys/shop.pem" }\n'
            '[[issuers]]\nname = "c"\njwks_file = "keys/shop.jwks"\n'
        )
    await backup(file, passphrase_file=passphrase, data=folder.root)
    await restore(file, passphrase_file=passphrase, data=other)
    assert (other / "keys" / "shop.pem").read_bytes() == key
    assert (other / "keys" / "shop.jwks").exists()
    assert (other / "outside" / "shop.pem").read_bytes() == key
    assert f"was {stranger}" in capsys.readouterr().out


@pytest.mark.parametrize("from_environment", [False, True])
async def test_keys_are_encrypted_at_rest_with_a_passphrase(
    tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    data = tmp_path / "licensing"
    if from_environment:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, "correct horse battery staple")
        assert (await init(data))[0] == 0
    else:
        assert (await init(data, "--passphrase-file", str(passphrase)))[0] == 0
    for name in ("swarm-ca.key.pem", "signer.pem"):
        assert "-----BEGIN ENCRYPTED PRIVATE KEY-----" in (data / name).read_text()
        assert "-----BEGIN PRIVATE KEY-----" not in (data / name).read_text()
    with trio.fail_after(PATIENCE_S):
        async with serving(data) as (_, service):
            await service.publish()
            await (await Customer.buy(service)).require_everything(service)

    async def refused(message: str) -> None:
        code, out, err = await run("serve", "--data", str(data))
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert message in err
        assert "horse" not in err

    signer = (data / "signer.pem").read_bytes()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "another one")
    await refused("the wrong passphrase")
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    config = data / "licensing.toml"
    config.write_text(set_in_toml(config.read_text(), "passphrase_file", ""))
    await refused("is encrypted: name its passphrase_file")
    config.write_text(set_in_toml(config.read_text(), "passphrase_file", str(passphrase)))
    passphrase.write_text("")
    code, _, err = await run("serve", "--data", str(data))
    assert (code, err.count("\n")) == (2, 1)
    assert "the passphrase is empty" in err
    assert (data / "signer.pem").read_bytes() == signer


async def test_passphrase_for_keys_that_are_not_encrypted_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "licensing"
    await init(data)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "correct horse")
    code, _, err = await run("serve", "--data", str(data))
    assert (code, err.count("\n")) == (1, 1)
    assert "openssl pkcs8 -topk8" in err


def test_one_setting_is_changed_and_the_rest_stays() -> None:
    text = '# first\n  ledger = "a"  # old\nstore = "s"\n[[issuers]]\nledger = "not this one"\n'
    assert set_in_toml(text, "ledger", 'b"') == (
        '# first\nledger = "b\\""\nstore = "s"\n[[issuers]]\nledger = "not this one"\n'
    )
    assert set_in_toml("[a]\n", "ledger", "b") == 'ledger = "b"\n[a]\n'
