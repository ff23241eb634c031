"""Where an album is fetched to, and under which name it appears when it is complete."""

import shutil
from pathlib import Path

from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.download.naming import album_folder
from client_lib.durable import sync_folder
from client_lib.errors import StorageError
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

PARTIAL_FOLDER = ".albumswarm"
"""Below the music folder, hence on the same file system: the last step is one rename."""


def place(library: DeviceLibrary, licence: LicenceRecord, into: Path) -> DownloadRecord:
    """Find or choose the folders of an album, and remember the choice. Raises StorageError."""
    record = library.download(licence.licence_id)
    if record is not None and (_is_there(record.partial) or _is_there(record.folder)):
        return record
    into = into.expanduser().absolute()
    # Two licences for one release may be fetched at the same time, by two libraries.
    partial = into / PARTIAL_FOLDER / f"{licence.name}.{licence.licence_id[:8]}"
    record = DownloadRecord(
        state=DownloadState.DOWNLOADING,
        partial=str(partial),
        folder=str(_free_folder(library, licence, into)),
    )
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {partial}: {error.strerror}") from error
    library.keep_download(licence.licence_id, record)
    return record


def content_folder(record: DownloadRecord) -> Path:
    """Where the files are now.

    A crash between the rename and its record leaves them under the final name already.
    """
    if record.state is DownloadState.DOWNLOADING and _is_there(record.partial):
        return Path(record.partial)
    return Path(record.folder)


def reveal(library: DeviceLibrary, licence: LicenceRecord, record: DownloadRecord) -> Path:
    """Rename a complete album to its final name, whole. Returns the folder.

    Raises StorageError.
    """
    source, target = content_folder(record), Path(record.folder)
    try:
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _is_free(target):
                target = _free_folder(library, licence, source.parent.parent)
                library.keep_download(licence.licence_id, _at(record, target))
            source.rename(target)
            sync_folder(target.parent)
            _remove_if_empty(source.parent)
    except OSError as error:
        raise StorageError(f"cannot rename {source} to {target}: {error.strerror}") from error
    return target


def remember_complete(
    library: DeviceLibrary,
    licence: LicenceRecord,
    record: DownloadRecord,
    folder: Path,
    files: tuple[str, ...] | None = None,
) -> None:
    """Record that the album, or the `files` of it that were wanted, are complete in `folder`."""
    complete = DownloadRecord(DownloadState.COMPLETE, record.partial, str(folder), files)
    library.keep_download(licence.licence_id, complete)


def reopen(
    library: DeviceLibrary, licence: LicenceRecord, record: DownloadRecord
) -> DownloadRecord:
    """Record that more files of a complete album are wanted; they come where the others are."""
    again = DownloadRecord(DownloadState.DOWNLOADING, record.partial, record.folder, record.files)
    library.keep_download(licence.licence_id, again)
    return again


def discard(library: DeviceLibrary, licence_id: LicenceId) -> None:
    """Remove the partial files of an album; one under its final name is left alone.

    Raises StorageError.
    """
    record = library.download(licence_id)
    if record is None or record.state is DownloadState.COMPLETE:
        return
    partial = Path(record.partial)
    try:
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial)
            _remove_if_empty(partial.parent)
    except OSError as error:
        raise StorageError(f"cannot remove {partial}: {error.strerror}") from error
    if not _is_there(record.folder):
        library.forget_resume_point(licence_id)
        library.forget_download(licence_id)


def remember_incomplete(
    library: DeviceLibrary, licence: LicenceRecord, record: DownloadRecord
) -> DownloadRecord:
    """Record that a once complete album lacks something; it is mended where it is.

    Its resume point goes: the next download must look at every piece.
    """
    library.forget_resume_point(licence.licence_id)
    again = DownloadRecord(DownloadState.DOWNLOADING, record.partial, record.folder, record.files)
    library.keep_download(licence.licence_id, again)
    return again


def _at(record: DownloadRecord, folder: Path) -> DownloadRecord:
    return DownloadRecord(record.state, record.partial, str(folder), record.files)


def _free_folder(library: DeviceLibrary, licence: LicenceRecord, into: Path) -> Path:
    """`Artist/Album (Year) [FORMAT]`, with the release id or a number where that is taken."""
    artist, title = album_folder(licence.album, licence.format)
    own = library.download(licence.licence_id)
    used = library.folders_in_use() - ({own.folder} if own else set())
    names = [title, f"{title} [{licence.release_id}]"]
    names += [f"{title} [{licence.release_id}] ({number})" for number in range(2, 100)]
    for name in names:
        folder = into / artist / name
        if str(folder) not in used and _is_free(folder):
            return folder
    raise StorageError(f"{into / artist}: a hundred folders called {title!r}: clear some away")


def _is_free(folder: Path) -> bool:
    """Tell whether a rename to `folder` harms nothing: nothing is there, or an empty folder."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return False
    return not folder.exists() or not any(folder.iterdir())


def _is_there(folder: str) -> bool:
    return Path(folder).is_dir()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # another album is being fetched
