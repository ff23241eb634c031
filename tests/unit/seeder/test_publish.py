import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from client_lib.errors import (
    AlbumswarmError,
    LicensingRefused,
    MetainfoError,
    StorageError,
    UnreachableError,
    UsageError,
)
from client_lib.swarm.create import create_torrent
from client_lib.wire.licensing_api import Publication
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import Album, AudioFormat, ReleaseId, TorrentName
from seeder.origins.folder import FolderOrigin
from seeder.placing import Step
from seeder.publish import Press, Published, Release, publish
from seeder.staging import staging_folder
from tests.unit.seeder.fake_licensing import FakeLicensing

NAME = TorrentName("rel-0001.flac")
Spoil = Callable[[Path], Path]


def files_below(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("*") if folder.exists() else iter(())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "My Album"
    (folder / "CD 1").mkdir(parents=True)
    (folder / "CD 1" / "01 Größe.flac").write_bytes(os.urandom(200_000))
    (folder / "CD 1" / "02.flac").write_bytes(b"2" * 70_000)
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def origin(tmp_path: Path) -> FolderOrigin:
    return FolderOrigin(tmp_path / "origin")


@pytest.fixture
def licensing() -> FakeLicensing:
    return FakeLicensing()


async def run(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing, *, checksums: bool = False
) -> Published:
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    async with licensing.client() as client:
        return await publish(release, Press(origin, client, checksums=checksums))


async def test_published_album_is_in_the_origin_and_registered(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    steps: list[tuple[Step, int, int]] = []
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    async with licensing.client() as client:
        result = await publish(
            release, Press(origin, client, on_progress=lambda *step: steps.append(step))
        )
    assert result.new
    assert result.entry.album.title == "My Album"
    assert origin.releases() == {NAME}
    assert files_below(origin.root / NAME) == files_below(album)
    assert set(files_below(origin.root)) == {
        f"{NAME}.torrent",
        *(f"{NAME}/{path}" for path in files_below(album)),
    }
    assert (origin.root / f"{NAME}.torrent").read_bytes() == licensing.torrents[NAME]
    assert {step for step, _, _ in steps} == {Step.COPYING}
    assert steps[-1] == (Step.COPYING, 270_000, 270_000)


async def test_publishing_identical_content_again_is_a_no_op(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    first = await run(album, origin, licensing)
    before, writes = files_below(origin.root), origin.root.stat().st_mtime_ns
    (origin.root / ".staging" / "lock").unlink()
    steps: list[Step] = []
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    async with licensing.client() as client:
        again = await publish(
            release, Press(origin, client, on_progress=lambda step, *_: steps.append(step))
        )
    assert (again.new, again.entry) == (False, first.entry)
    assert set(steps) == {Step.HASHING}
    assert files_below(origin.root) == before
    # Not even a staging folder was made, let alone a copy.
    assert origin.root.stat().st_mtime_ns == writes
    assert list((origin.root / ".staging").iterdir()) == []
    assert len(licensing.entries) == 1


@pytest.mark.parametrize("checksums", [True, False])
async def test_torrent_that_is_sold_keeps_its_checksums_or_stays_without(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing, tmp_path: Path, *, checksums: bool
) -> None:
    await run(album, origin, licensing, checksums=checksums)
    before = files_below(origin.root)
    assert Metainfo.from_bytes(licensing.torrents[NAME]).has_checksums == checksums
    assert not (await run(album, origin, licensing, checksums=not checksums)).new
    # Nor does an origin that lost it, or another machine's, make another one.
    elsewhere = FolderOrigin(tmp_path / "elsewhere")
    await run(album, elsewhere, licensing, checksums=not checksums)
    assert files_below(elsewhere.root) == files_below(origin.root) == before


async def test_torrent_that_nobody_has_got_takes_checksums(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    """A publish was killed before the content had its name."""
    await run(album, origin, licensing)
    shutil.rmtree(origin.content(NAME))
    licensing.torrents.clear()
    licensing.entries.clear()
    assert (await run(album, origin, licensing, checksums=True)).new
    assert Metainfo.from_bytes(licensing.torrents[NAME]).has_checksums


async def test_other_content_under_the_same_name_is_refused_and_changes_nothing(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing, tmp_path: Path
) -> None:
    await run(album, origin, licensing)
    before, torrents = files_below(origin.root), dict(licensing.torrents)
    (album / "CD 1" / "02.flac").write_bytes(b"3" * 70_000)
    with pytest.raises(StorageError, match="other content"):
        await run(album, origin, licensing)
    # Nor into the empty origin of another machine.
    elsewhere = FolderOrigin(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="other content"):
        await run(album, elsewhere, licensing)
    # Nor if only our origin knows about the first one.
    licensing.torrents.clear()
    licensing.entries.clear()
    with pytest.raises(StorageError, match="other content"):
        await run(album, origin, licensing)
    assert files_below(origin.root) == before
    assert files_below(elsewhere.root) == {}
    assert torrents
    assert licensing.torrents == {}


async def test_release_that_licensing_refuses_is_not_kept(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing, tmp_path: Path
) -> None:
    """Somebody else registers other content while we copy."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_bytes(b"a")
    (other / "b").write_bytes(b"b")
    torrent = create_torrent(other, name=NAME, ca_pem=licensing.pki.ca_pem)

    def overtake() -> None:
        licensing.before_publish = lambda: None
        licensing.register(NAME, Publication(Album(artist="a", title="b"), torrent))

    licensing.before_publish = overtake
    with pytest.raises(LicensingRefused):
        await run(album, origin, licensing)
    assert files_below(origin.root) == {}


async def test_killed_between_install_and_registration_is_completed_by_the_same_command(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    await run(album, origin, licensing)
    licensing.entries.clear()
    licensing.torrents.clear()
    before = files_below(origin.root)
    assert (await run(album, origin, licensing)).new
    assert files_below(origin.root) == before
    assert NAME in licensing.torrents


async def test_torrent_without_content_is_completed_even_if_the_source_has_changed(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    origin.root.mkdir()
    old = album.parent / NAME
    await trio.Path(album).rename(old)
    torrent = create_torrent(old, name=NAME, ca_pem=licensing.pki.ca_pem)
    (origin.root / f"{NAME}.torrent").write_bytes(torrent)
    (old / "notes.txt").write_text("changed since")
    await run(old, origin, licensing)
    assert files_below(origin.root / NAME) == files_below(old)
    assert (origin.root / f"{NAME}.torrent").read_bytes() == licensing.torrents[NAME] != torrent


async def test_damaged_content_is_named_and_not_taken_for_published(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    await run(album, origin, licensing)
    (origin.content(NAME) / "CD 1" / "02.flac").write_bytes(b"short")
    with pytest.raises(StorageError, match=r"5 bytes instead of 70000: delete .*rel-0001\.flac"):
        await run(album, origin, licensing)
    await trio.to_thread.run_sync(shutil.rmtree, origin.content(NAME))
    await run(album, origin, licensing)
    assert files_below(origin.content(NAME)) == files_below(album)


async def test_folder_that_is_not_ours_is_never_touched(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    (origin.root / NAME).mkdir(parents=True)
    (origin.root / NAME / "precious").write_bytes(b"p")
    with pytest.raises(StorageError, match="in the way"):
        await run(album, origin, licensing)
    assert files_below(origin.root) == {f"{NAME}/precious": b"p"}


async def test_unreachable_licensing_leaves_the_origin_alone(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    licensing.away = True
    with pytest.raises(UnreachableError):
        await run(album, origin, licensing)
    assert not origin.root.exists()


@pytest.mark.parametrize("is_taken", [False, True], ids=["new", "again"])
async def test_source_that_changes_while_it_is_read_is_refused(
    is_taken: bool, album: Path, origin: FolderOrigin, licensing: FakeLicensing, tmp_path: Path
) -> None:
    if is_taken:  # nothing is copied then, and all the same nothing is said to be published
        await run(album, origin, licensing)
    before, entries = files_below(origin.root), list(licensing.entries)
    for change in (grow, shrink, replace, add, remove, rename):
        changed = False
        await trio.to_thread.run_sync(shutil.copytree, album, tmp_path / change.__name__)

        def meddle(step: Step, done: int, total: int) -> None:
            nonlocal changed
            if not changed:
                changed = True
                change(tmp_path / change.__name__)  # noqa: B023 - called within the iteration

        release = Release(tmp_path / change.__name__, ReleaseId("rel-0001"), AudioFormat("flac"))
        async with licensing.client() as client:
            with pytest.raises(StorageError, match=r"changed while|No such file"):
                await publish(release, Press(origin, client, on_progress=meddle))
        assert changed
        assert files_below(origin.root) == before
    assert licensing.entries == entries


def shrink(album: Path) -> None:
    os.truncate(album / "CD 1" / "02.flac", 60_000)


def rename(album: Path) -> None:
    (album / "CD 1" / "02.flac").rename(album / "CD 1" / "03.flac")


def grow(album: Path) -> None:
    with (album / "CD 1" / "01 Größe.flac").open("ab") as file:
        file.write(b"more")


def replace(album: Path) -> None:
    path = album / "CD 1" / "02.flac"
    status = path.stat()
    path.write_bytes(b"x" * 70_000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # covers its tracks


def add(album: Path) -> None:
    (album / "late.flac").write_bytes(b"late")


def remove(album: Path) -> None:
    (album / "CD 1" / "02.flac").unlink()


async def test_cancelled_publish_leaves_nothing(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing
) -> None:
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    with trio.CancelScope() as scope:
        async with licensing.client() as client:
            await publish(release, Press(origin, client, on_progress=lambda *_: scope.cancel()))
    assert scope.cancelled_caught
    assert files_below(origin.root) == {}
    assert licensing.entries == []


def no_folder(album: Path) -> Path:
    return album / "nowhere"


def a_file(album: Path) -> Path:
    return album / "notes.txt"


def empty_folder(album: Path) -> Path:
    (album / "empty").mkdir()
    return album / "empty"


def only_empty_files(album: Path) -> Path:
    for path in (album / "CD 1").iterdir():
        path.write_bytes(b"")
    return album


def link(album: Path) -> Path:
    (album / "link").symlink_to("notes.txt")
    return album


def pipe(album: Path) -> Path:
    os.mkfifo(album / "pipe")
    return album


def name_not_utf8(album: Path) -> Path:
    Path(os.fsdecode(os.fsencode(album) + b"/caf\xe9.flac")).write_bytes(b"x")
    return album


def unsafe_name(album: Path) -> Path:
    (album / "a\u202egpj.exe").write_bytes(b"x")
    return album


def names_that_differ_in_case(album: Path) -> Path:
    (album / "NOTES.txt").write_bytes(b"x")
    return album


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (no_folder, StorageError),
        (a_file, StorageError),
        (empty_folder, StorageError),
        (only_empty_files, MetainfoError),
        (link, StorageError),
        (pipe, StorageError),
        (name_not_utf8, MetainfoError),
        (unsafe_name, MetainfoError),
        (names_that_differ_in_case, MetainfoError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_folder_that_cannot_be_published_is_refused_before_anything_is_written(
    spoil: Spoil, error: type[AlbumswarmError], album: Path, origin: FolderOrigin
) -> None:
    with pytest.raises(error) as caught:
        await run(spoil(album), origin, FakeLicensing(away=True))
    assert "My Album" in str(caught.value)
    assert not origin.root.exists()


async def test_origin_and_album_must_be_apart(album: Path, licensing: FakeLicensing) -> None:
    for root in (album, album / "origin", album.parent):
        with pytest.raises(UsageError, match="must not be in each other"):
            await run(album, FolderOrigin(root), licensing)


@pytest.fixture
def living_staging(origin: FolderOrigin) -> Iterator[Path]:
    with staging_folder(origin.root) as folder:
        yield folder


async def test_staging_of_killed_publishes_is_swept_and_of_living_ones_kept(
    album: Path, origin: FolderOrigin, licensing: FakeLicensing, living_staging: Path
) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from seeder.staging import staging_folder\n"
        "with staging_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    await trio.to_thread.run_sync(
        lambda: subprocess.run([sys.executable, "-c", code, str(origin.root)], check=False)
    )
    assert f".staging/{living_staging.name}" not in files_below(origin.root)
    assert any(path.endswith("half") for path in files_below(origin.root))
    await run(album, origin, licensing)
    assert not any(path.endswith("half") for path in files_below(origin.root))
    assert await trio.Path(living_staging).is_dir()
