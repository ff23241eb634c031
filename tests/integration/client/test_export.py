"""Export: three files with which another client joins the swarm."""

import stat
from pathlib import Path

import libtorrent as lt
import pytest
import trio

from client_lib.download import Passphrase, PassphraseProtection
from client_lib.errors import UsageError
from tests.integration.client.rig import HOST, NAME, Album, seeding
from tests.integration.client.shop import Shop, customer
from tests.patience import PATIENCE_S


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(Album(tmp_path / "origin"))


def fetch_with_plain_libtorrent(exported: Path, into: Path, seeder_port: int) -> None:
    """A program that knows nothing of us: libtorrent as it comes, and the exported files."""
    session = lt.session({"listen_interfaces": f"{HOST}:0s"})
    adding = lt.add_torrent_params()
    adding.ti = lt.torrent_info(str(exported / f"{NAME}.torrent"))
    adding.save_path = str(into)
    adding.flags |= lt.torrent_flags.paused
    adding.flags &= ~lt.torrent_flags.auto_managed
    handle = session.add_torrent(adding)
    handle.set_ssl_certificate(str(exported / "certificate.pem"), str(exported / "key.pem"), "")
    handle.resume()
    # As a tracker names a peer: it may not know uTP, which is not waited for then for long.
    handle.connect_peer((HOST, seeder_port), 0, 0)
    while not handle.status().is_seeding:
        session.wait_for_alert(200)
        session.pop_alerts()
        trio.from_thread.check_cancelled()
    session.pause()


async def test_plain_libtorrent_joins_with_what_was_exported(shop: Shop, tmp_path: Path) -> None:
    licence = shop.sell()
    with trio.fail_after(PATIENCE_S):
        async with seeding(shop.album) as seed, customer(shop, tmp_path / "c") as who:
            folder = await who.client.export(licence, tmp_path / "out")
            assert folder == tmp_path / "out" / NAME
            files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
            assert files == {
                f"{NAME}.torrent": 0o644,
                "certificate.pem": 0o644,
                "key.pem": 0o600,
                "README.txt": 0o644,
            }
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert f"{NAME}.torrent" in (folder / "README.txt").read_text()
            (folder / "README.txt").unlink()
            into = tmp_path / "plain"
            await trio.to_thread.run_sync(fetch_with_plain_libtorrent, folder, into, seed.port)
            assert shop.album.is_in(into / NAME)


async def test_export_overwrites_nothing_and_leaves_nothing_half(
    shop: Shop, tmp_path: Path
) -> None:
    licence, out = shop.sell(), tmp_path / "out"
    with trio.fail_after(PATIENCE_S):
        async with customer(shop, tmp_path / "c") as who:
            (out / NAME).mkdir(parents=True)
            (out / NAME / "mine.txt").write_text("mine")
            with pytest.raises(UsageError, match="nothing is overwritten"):
                await who.client.export(licence, out)
    assert [path.name for path in out.rglob("*")] == [NAME, "mine.txt"]


async def test_protected_device_exports_a_key_that_opens(shop: Shop, tmp_path: Path) -> None:
    licence = shop.sell()
    with trio.fail_after(PATIENCE_S):
        protection = PassphraseProtection(Passphrase(b"correct horse"))
        async with customer(shop, tmp_path / "c", secrets=protection) as who:
            folder = await who.client.export(licence, tmp_path / "out")
    assert b"BEGIN PRIVATE KEY" in (folder / "key.pem").read_bytes()
    (kept,) = (tmp_path / "c").glob("data/licences/*/credential.pem")
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in kept.read_bytes()
