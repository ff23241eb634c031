"""Where an album is fetched to, and under which name it appears when it is complete."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from client_lib.download.disk.folder_template import DEFAULT_FOLDER_TEMPLATE, FolderTemplate
from client_lib.download.disk.naming import comparable
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.durable import sync_folder
from client_lib.errors import StorageError
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

PARTIAL_FOLDER = ".albumswarm"
"""On the file system of the album's final folder, so that the last step is one rename."""
_DEFAULT_TEMPLATE = FolderTemplate.parse(DEFAULT_FOLDER_TEMPLATE)


def place(
    library: DeviceLibrary,
    licence: LicenceRecord,
    into: Path,
    template: FolderTemplate = _DEFAULT_TEMPLATE,
) -> DownloadRecord:
    """Find or choose the folders of an album, and remember the choice. Raises StorageError."""
    record = library.download(licence.licence_id)
    if record is not None and (_is_there(record.folder) or _is_under_way(record)):
        return record
    into = into.expanduser().absolute()
    folder = _free_folder(library, licence, into, template)
    # Two licences for one release may be fetched at the same time, by two libraries.
    partial = _beside(folder, into) / PARTIAL_FOLDER / f"{licence.name}.{licence.licence_id[:8]}"
    record = DownloadRecord(
        state=DownloadState.DOWNLOADING, partial=str(partial), folder=str(folder)
    )
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {partial}: {error.strerror}") from error
    library.keep_download(licence.licence_id, record)
    return record


def content_folder(record: DownloadRecord) -> Path:
    """Where files are fetched to now, or are if nothing is to be fetched.

    A crash between the rename and its record leaves them under the final name already.
    """
    if record.lacks or (record.state is DownloadState.DOWNLOADING and _is_there(record.partial)):
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
                target = _other_name(library, licence, target)
                record = DownloadRecord(record.state, record.partial, str(target), record.files)
                library.keep_download(licence.licence_id, record)
            _move(source, target)
            sync_folder(target.parent)
            _remove_if_empty(source.parent)
    except OSError as error:
        raise StorageError(f"cannot rename {source} to {target}: {error.strerror}") from error
    return target


def replace_files(record: DownloadRecord, paths: Sequence[str]) -> Path:
    """Put files that were fetched for a complete album into it, each at once. Returns the folder.

    What is not among the fetched ones is there already: a crash may have come in between. Raises
    StorageError.
    """
    staging, folder = Path(record.partial), Path(record.folder)
    for path in paths:
        source, target = staging / path, folder / path
        try:
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(source, target)
        except OSError as error:
            raise StorageError(f"cannot replace {target}: {error.strerror}") from error
    _remove_staging(staging)
    return folder


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


def remember_lacking(
    library: DeviceLibrary, licence: LicenceRecord, record: DownloadRecord, paths: Sequence[str]
) -> DownloadRecord:
    """Record which files a complete album lacks: missing, changed, or wanted only since.

    They are fetched into the partial folder, and the album stays where it is. None: it lacks
    nothing, and what was fetched for it goes. Raises StorageError.
    """
    if set(paths) == set(record.lacks):
        return record
    # What lies in the partial folder is hashed again, unless all that was lacking is now staged.
    library.forget_resume_point(licence.licence_id)
    again = DownloadRecord(
        DownloadState.COMPLETE, record.partial, record.folder, record.files, tuple(paths)
    )
    library.keep_download(licence.licence_id, again)
    if not paths:
        _remove_staging(Path(record.partial))
    return again


def discard(library: DeviceLibrary, licence_id: LicenceId) -> None:
    """Remove the partial files of an album; one under its final name is left alone.

    Raises StorageError.
    """
    record = library.download(licence_id)
    if record is None:
        return
    partial = Path(record.partial)
    if record.state is DownloadState.COMPLETE:
        if record.lacks:
            library.forget_resume_point(licence_id)
            _remove_staging(partial)
        return
    _remove_staging(partial)
    if not _is_there(record.folder):
        library.forget_resume_point(licence_id)
        library.forget_download(licence_id)


def _remove_staging(partial: Path) -> None:
    try:
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial)
            _remove_if_empty(partial.parent)
    except OSError as error:
        raise StorageError(f"cannot remove {partial}: {error.strerror}") from error


def _is_under_way(record: DownloadRecord) -> bool:
    return record.state is DownloadState.DOWNLOADING and _is_there(record.partial)


def _free_folder(
    library: DeviceLibrary, licence: LicenceRecord, into: Path, template: FolderTemplate
) -> Path:
    return _first_free(library, licence, into.joinpath(*template.folder(licence)))


def _other_name(library: DeviceLibrary, licence: LicenceRecord, wanted: Path) -> Path:
    """Another name for an album whose folder was taken while it was fetched."""
    plain = wanted.name.partition(f" [{licence.release_id}]")[0]
    return _first_free(library, licence, wanted.with_name(plain))


def _first_free(library: DeviceLibrary, licence: LicenceRecord, wanted: Path) -> Path:
    """The folder wanted, with the release id or a number behind it where that is taken.

    No two licences share one, nor is one inside another's, also where case is ignored.
    """
    own = library.download(licence.licence_id)
    others = library.folders_in_use() - ({own.folder} if own else set())
    used = {comparable(name) for name in others}
    for above in wanted.parents:
        if comparable(str(above)) in used:
            raise StorageError(
                f"{above} is the folder of another album: choose a folder template that puts "
                "no album into it"
            )
    suffixes = ["", f" [{licence.release_id}]"]
    suffixes += [f" [{licence.release_id}] ({number})" for number in range(2, 100)]
    for suffix in suffixes:
        folder = wanted.with_name(wanted.name + suffix)
        if comparable(str(folder)) not in used and _is_free(folder):
            return folder
    raise StorageError(f"{wanted}: a hundred folders of this name: clear some away")


def _beside(folder: Path, into: Path) -> Path:
    """The outermost folder from `into` to `folder` that is on the file system of `folder`.

    An artist's folder may be a link or a mount.
    """
    top = folder.parent
    while top != into and not top.exists():
        top = top.parent
    try:
        while top != into and top.parent.stat().st_dev == top.stat().st_dev:
            top = top.parent
    except OSError as error:
        raise StorageError(f"cannot look at {top}: {error.strerror}") from error
    return top


def _move(source: Path, target: Path) -> None:
    """Rename over what may be there; between file systems copy beside it first."""
    try:
        os.replace(source, target)  # noqa: PTH105 - a folder over an empty one, too
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f".{source.name}.part")
        if source.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy)
        else:
            shutil.copyfile(source, copy)
        os.replace(copy, target)  # noqa: PTH105
        if source.is_dir():
            shutil.rmtree(source)
        else:
            source.unlink()


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
