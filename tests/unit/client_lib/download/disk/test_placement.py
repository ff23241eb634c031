"""Where albums go: one folder each, whole when it appears, found again after a crash."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from client_lib.download.disk import placement
from client_lib.download.disk.folder_template import FolderTemplate
from client_lib.download.library import DeviceLibrary, DownloadState
from client_lib.errors import StorageError
from client_lib.swarm.resume import ResumePoint
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import LicenceRecord
from tests.unit.client_lib.download.licences import licence

FINAL = "Artist/Album (2026) [FLAC 24-96]"


@pytest.fixture
def library(tmp_path: Path) -> DeviceLibrary:
    return DeviceLibrary(tmp_path / "data")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return tmp_path / "music"


def fetch(library: DeviceLibrary, one: LicenceRecord, music: Path) -> Path:
    """A whole download, as the album does it."""
    record = placement.place(library, one, music)
    (placement.content_folder(record) / "01.flac").write_text(one.licence_id)
    folder = placement.reveal(library, one, record)
    placement.remember_complete(library, one, record, folder)
    return folder


def test_album_appears_whole_under_its_name(library: DeviceLibrary, music: Path) -> None:
    one = licence()
    record = placement.place(library, one, music)
    assert not (music / FINAL).exists()
    partial = music / ".albumswarm" / f"{one.name}.{one.licence_id[:8]}"
    assert placement.content_folder(record) == partial
    assert fetch(library, one, music) == music / FINAL
    assert (music / FINAL / "01.flac").read_text() == one.licence_id
    assert sorted(path.name for path in music.iterdir()) == ["Artist"]
    kept = library.download(one.licence_id)
    assert kept is not None
    assert kept.state is DownloadState.COMPLETE
    assert placement.content_folder(kept) == music / FINAL


def test_albums_of_one_title_get_folders_of_their_own(library: DeviceLibrary, music: Path) -> None:
    folders = [fetch(library, licence(f"rel-{n}.flac-24-96", number=n), music) for n in (1, 2, 3)]
    assert [folder.name for folder in folders] == [
        "Album (2026) [FLAC 24-96]",
        "Album (2026) [FLAC 24-96] [rel-2]",
        "Album (2026) [FLAC 24-96] [rel-3]",
    ]
    for number, folder in enumerate(folders, 1):
        assert (folder / "01.flac").read_text() == licence(number=number).licence_id


def test_two_albums_under_way_never_choose_the_same_folder(
    library: DeviceLibrary, music: Path
) -> None:
    first = placement.place(library, licence(number=1), music)
    second = placement.place(library, licence("rel-2.flac-24-96", number=2), music)
    assert first.folder != second.folder
    assert placement.place(library, licence(number=1), music) == first


@pytest.mark.parametrize("obstacle", ["file", "full folder", "link"])
def test_what_is_there_already_is_left_alone(
    library: DeviceLibrary, music: Path, obstacle: str
) -> None:
    place = music / FINAL
    place.parent.mkdir(parents=True)
    match obstacle:
        case "file":
            place.write_text("mine")
        case "link":
            place.symlink_to("/nowhere")
        case _:
            place.mkdir()
            (place / "mine").touch()
    assert fetch(library, licence(), music).name == "Album (2026) [FLAC 24-96] [rel-1]"
    assert place.is_symlink() or place.exists()


def test_folder_filled_during_the_download_is_left_alone(
    library: DeviceLibrary, music: Path
) -> None:
    one = licence()
    placement.place(library, one, music)
    (music / FINAL).mkdir(parents=True)
    (music / FINAL / "mine").touch()
    folder = fetch(library, one, music)
    assert folder.name == "Album (2026) [FLAC 24-96] [rel-1]"
    assert sorted(path.name for path in (music / FINAL).iterdir()) == ["mine"]


def test_empty_folder_of_that_name_is_used(library: DeviceLibrary, music: Path) -> None:
    (music / FINAL).mkdir(parents=True)
    assert fetch(library, licence(), music) == music / FINAL


def test_crash_between_rename_and_record_costs_nothing(library: DeviceLibrary, music: Path) -> None:
    one = licence()
    record = placement.place(library, one, music)
    (Path(record.partial) / "01.flac").write_text("content")
    placement.reveal(library, one, record)
    # … and the process dies here: the record says "downloading" into a folder that has gone.
    again = placement.place(library, one, music)
    assert again == record
    assert placement.content_folder(again) == music / FINAL
    assert placement.reveal(library, one, again) == music / FINAL
    assert (music / FINAL / "01.flac").read_text() == "content"


def test_crash_between_choosing_another_name_and_the_rename_costs_nothing(
    library: DeviceLibrary, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = licence()
    record = placement.place(library, one, music)
    (Path(record.partial) / "01.flac").write_text("content")
    (music / FINAL).mkdir(parents=True)
    (music / FINAL / "mine").touch()

    def die(source: Path, target: Path) -> None:
        if Path(source).is_dir():
            raise KeyboardInterrupt
        rename(source, target)

    rename = os.replace

    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            placement.reveal(library, one, record)
    again = placement.place(library, one, music)
    assert placement.content_folder(again) == Path(record.partial)
    folder = placement.reveal(library, one, again)
    assert (folder / "01.flac").read_text() == "content"


def test_album_that_was_deleted_is_placed_afresh(library: DeviceLibrary, music: Path) -> None:
    one = licence()
    shutil.rmtree(fetch(library, one, music))
    record = placement.place(library, one, music)
    assert record.state is DownloadState.DOWNLOADING
    assert placement.content_folder(record).is_dir()


def test_mended_files_replace_the_damaged_ones_and_nothing_else(
    library: DeviceLibrary, music: Path
) -> None:
    one = licence()
    folder = fetch(library, one, music)
    (folder / "mine").touch()
    info_hash = InfoHash(bytes(32))
    library.keep_resume_point(one.licence_id, ResumePoint.of(info_hash, [True], {}))
    record = library.download(one.licence_id)
    assert record is not None
    record = placement.remember_lacking(library, one, record, ["01.flac", "CD 2/x"])
    assert library.resume_point(one.licence_id, info_hash) is None, "of what was fetched then"
    staging = placement.content_folder(record)
    assert staging.parent == music / ".albumswarm"
    (staging / "CD 2").mkdir(parents=True)
    (staging / "CD 2/x").write_text("new")
    (staging / "01.flac").write_text("mended")
    assert placement.place(library, one, music) == record
    assert placement.replace_files(record, record.lacks) == folder
    assert placement.replace_files(record, record.lacks) == folder, "after a crash once more"
    assert (folder / "01.flac").read_text() == "mended"
    assert sorted(path.name for path in folder.rglob("*")) == ["01.flac", "CD 2", "mine", "x"]
    assert sorted(path.name for path in music.iterdir()) == ["Artist"]


def test_names_that_differ_in_case_only_are_two_folders(
    library: DeviceLibrary, music: Path
) -> None:
    placement.place(library, licence(number=1, title="ÜBER"), music)
    second = placement.place(library, licence("rel-2.flac-24-96", number=2, title="über"), music)
    assert second.folder.endswith("über (2026) [FLAC 24-96] [rel-2]")


def test_no_album_is_put_into_another_one(library: DeviceLibrary, music: Path) -> None:
    outer = FolderTemplate.parse("{albumartist}")
    placement.place(library, licence(number=1), music, outer)
    with pytest.raises(StorageError, match="is the folder of another album"):
        placement.place(library, licence("rel-2.flac-24-96", number=2, artist="ARTIST"), music)


MEMORY = Path("/dev/shm")  # noqa: S108 - another file system than that of tmp_path


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
def test_album_is_fetched_on_the_file_system_where_it_appears(
    library: DeviceLibrary, music: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as elsewhere:
        music.mkdir()
        (music / "Artist").symlink_to(elsewhere)
        record = placement.place(library, licence(), music)
        assert Path(record.partial).parent == music / "Artist/.albumswarm"
        folder = fetch(library, licence(), music)
        assert folder == music / FINAL
        assert [path.name for path in Path(elsewhere).iterdir()] == [folder.name]
        # The artist's folder comes to be elsewhere while an album is fetched.
        late = licence("rel-2.flac-24-96", number=2, artist="Late")
        record = placement.place(library, late, music)
        (Path(record.partial) / "01.flac").write_text("content")
        (Path(elsewhere) / "late").mkdir()
        (music / "Late").symlink_to(f"{elsewhere}/late")
        folder = placement.reveal(library, late, record)
        assert (folder / "01.flac").read_text() == "content"
        assert not Path(record.partial).exists()


def test_music_folder_that_cannot_be_made_is_named(library: DeviceLibrary, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"cannot make {tmp_path}/file/.albumswarm/"):
        placement.place(library, licence(), tmp_path / "file")
    assert library.download(licence().licence_id) is None
