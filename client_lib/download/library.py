"""The device's folder: its secret, the service it belongs to, its licences, its downloads.

    device.secret                      bearer secret of this device, 0600; sealed if protected
    service.json                       licensing's address and the CAs we trust for it
    library.json                       the latest list of licences, so that `list` works offline
    queue.json                         albums to get, in order, with their states
    requests/                          what other commands ask of the process that downloads
    lock                               held by the process that downloads
    files.jsonl                        which content complete albums have; made anew if it is lost
    licences/<id>/credential.pem       key and certificate, 0600
    licences/<id>/album.torrent        the per-customer torrent, verified
    licences/<id>/download.json        where the album goes, and whether it is complete
    licences/<id>/resume.json          verified pieces of an unfinished album

Every file is replaced whole, so a crash leaves the old one or the new one. What it leaves of an
unfinished write is removed when the library is next held.
"""

import contextlib
import enum
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from client_lib.download.queue import StoredQueue
from client_lib.durable import (
    private_folder,
    read_file_if_present,
    sweep_temporaries,
    write_atomically,
    write_secret,
    write_secret_once,
)
from client_lib.errors import IdentifierError, LibraryInUse, StorageError, UsageError
from client_lib.locking import locked_file
from client_lib.protection import Protection
from client_lib.sealing import SealedSecret, key_file_passphrase, seal
from client_lib.swarm.resume import ResumePoint
from client_lib.transport.key_encryption import KeyEncryption
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import DEVICE_SECRET_BYTES, DeviceSecret, LicenceId
from client_lib.wire.licensing_api import Library

R = TypeVar("R")


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The licensing service that this device uses. `swarm_ca` is pinned at first contact."""

    licensing_url: str
    licensing_ca: str | None = None
    swarm_ca: str | None = None


class DownloadState(enum.StrEnum):
    """How far an album's download is."""

    DOWNLOADING = "downloading"
    COMPLETE = "complete"


class DownloadRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an album is: being fetched into `partial`, and complete in `folder`.

    `files` are the paths that are complete if only some were wanted, None for all. `lacks` are
    files that a complete album needs and has not, or not right: they are fetched into `partial`
    and then replace those in `folder`.
    """

    state: DownloadState
    partial: str
    folder: str
    files: tuple[str, ...] | None = None
    lacks: tuple[str, ...] = ()

    def complete_of(self, paths: Sequence[str]) -> list[int]:
        """Indexes of the files that are complete, among all of the album's paths."""
        had = None if self.files is None else set(self.files)
        return [index for index, path in enumerate(paths) if had is None or path in had]


class DeviceLibrary:
    """The device's folder (0700) as values."""

    def __init__(self, folder: Path, protection: Protection | None = None) -> None:
        """Open it, making it if it is missing; `protection` opens a protected one."""
        self.folder = private_folder(folder)
        self._folders: dict[str, str] | None = None
        self._protection = protection
        self._opened: tuple[bytes, bytes] | None = None  # a sealed file, and what was in it

    def device_secret(self) -> DeviceSecret:
        """This device's secret, made at first use.

        Raises UsageError if it is sealed and cannot be opened, StorageError for a damaged one.
        """
        path = self.secret_path
        kept = read_file_if_present(path)
        if kept is None:
            # Two commands at once must not each have one: what the loser buys would be lost.
            fresh = DeviceSecret(secrets.token_bytes(DEVICE_SECRET_BYTES)).bearer.encode()
            made = seal(fresh, self._protection) if self._protection else fresh
            kept = write_secret_once(path, made)
        try:
            return DeviceSecret.from_bearer(self._open(kept).decode("ascii", "replace").strip())
        except IdentifierError as error:
            raise StorageError(f"{path} is damaged: restore it from a backup") from error

    @property
    def secret_path(self) -> Path:
        """File of the device secret."""
        return self.folder / "device.secret"

    def sealed_secret(self) -> SealedSecret | None:
        """The device secret's file if it is sealed. Raises StorageError."""
        kept = read_file_if_present(self.secret_path)
        return None if kept is None else SealedSecret.from_bytes(kept)

    def key_encryption(self) -> KeyEncryption:
        """How private keys are kept here: encrypted if the device is protected.

        Either is read: `protect` may have been killed half-way.
        """
        passphrase = key_file_passphrase(self.device_secret().value)
        protected = self._protection is not None
        return KeyEncryption(passphrase, encrypts=protected, takes_plain=True)

    def _open(self, kept: bytes) -> bytes:
        sealed = SealedSecret.from_bytes(kept)
        if sealed is None:
            if self._protection is not None:
                raise UsageError(
                    f"{self.folder} is not protected, and a passphrase was given: "
                    "`albumswarm protect` it first, or leave the passphrase out"
                )
            return kept
        if self._protection is None:
            raise UsageError(
                f"{self.folder} is protected: give its passphrase with --passphrase-file or "
                "ALBUMSWARM_PASSPHRASE"
            )
        if self._protection.kind is not sealed.kind:
            raise UsageError(
                f"{self.folder} is protected by a {sealed.kind.name.lower()}, "
                f"not by a {self._protection.kind.name.lower()}"
            )
        if self._opened is None or self._opened[0] != kept:  # half a second each time
            self._opened = kept, sealed.open(self._protection)
        return self._opened[1]

    def service(self) -> Service | None:
        """The service that this device belongs to, None before first contact."""
        return _read_json(self.folder / "service.json", Service)

    def keep_service(self, service: Service) -> None:
        """Remember the service."""
        write_atomically(self.folder / "service.json", msgspec.json.encode(service))

    def licences(self) -> Library:
        """Licences as last seen."""
        return _read_json(self.folder / "library.json", Library) or Library(licences=())

    def keep_licences(self, library: Library) -> None:
        """Remember what licensing said."""
        write_secret(self.folder / "library.json", msgspec.json.encode(library))

    def queue(self) -> StoredQueue:
        """The queue as last written."""
        return _read_json(self.folder / "queue.json", StoredQueue) or StoredQueue()

    def keep_queue(self, queue: StoredQueue) -> None:
        """Remember the queue."""
        write_secret(self.folder / "queue.json", msgspec.json.encode(queue))

    @property
    def requests_folder(self) -> Path:
        """Where other commands leave what they ask of the process that downloads."""
        return self.folder / "requests"

    def licence_folder(self, licence_id: LicenceId) -> Path:
        """Folder of one licence."""
        return self.folder / "licences" / licence_id

    def download(self, licence_id: LicenceId) -> DownloadRecord | None:
        """Where the album of a licence is, None if it was never started."""
        return _read_json(self.licence_folder(licence_id) / "download.json", DownloadRecord)

    def keep_download(self, licence_id: LicenceId, record: DownloadRecord) -> None:
        """Remember where an album is."""
        path = private_folder(self.licence_folder(licence_id)) / "download.json"
        write_atomically(path, msgspec.json.encode(record))
        if self._folders is not None:
            self._folders[licence_id] = record.folder

    def forget_download(self, licence_id: LicenceId) -> None:
        """Forget where an album was being fetched to."""
        (self.licence_folder(licence_id) / "download.json").unlink(missing_ok=True)
        if self._folders is not None:
            self._folders.pop(licence_id, None)

    def resume_point(self, licence_id: LicenceId, info_hash: InfoHash) -> ResumePoint | None:
        """Verified pieces of an unfinished album, None if nothing usable was kept."""
        data = read_file_if_present(self.licence_folder(licence_id) / "resume.json")
        return None if data is None else ResumePoint.from_json(data, info_hash)

    def keep_resume_point(self, licence_id: LicenceId, point: ResumePoint) -> None:
        """Remember verified pieces."""
        path = self.licence_folder(licence_id) / "resume.json"
        # It names the boot that it is good for. A sync would first write out all the music that
        # waits in the page cache, and meanwhile nothing newer would be remembered.
        write_atomically(path, point.to_json(), power_cut_safe=False)

    def forget_resume_point(self, licence_id: LicenceId) -> None:
        """Let the next download hash what is there."""
        (self.licence_folder(licence_id) / "resume.json").unlink(missing_ok=True)

    def folders_in_use(self) -> set[str]:
        """Final folders of all albums, so that no two licences share one.

        Read once while the library is held: of a thousand albums each asks.
        """
        if self._folders is not None:
            return set(self._folders.values())
        return set(self._read_folders().values())

    def _read_folders(self) -> dict[str, str]:
        records = ((name, self.download(LicenceId(name))) for name in self.licence_ids())
        return {name: record.folder for name, record in records if record is not None}

    def _forget_folders(self) -> None:
        self._folders = None

    def licence_ids(self) -> list[str]:
        """Ids of all licences that something is kept of."""
        root = self.folder / "licences"
        return [entry.name for entry in root.iterdir()] if root.exists() else []

    def _sweep(self) -> None:
        sweep_temporaries(self.folder)
        sweep_temporaries(self.requests_folder)
        for name in self.licence_ids():
            sweep_temporaries(self.folder / "licences" / name)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the library for downloading. Raises LibraryInUse if another process holds it."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked_file(self.folder / "lock"))
            except BlockingIOError as error:
                raise LibraryInUse(
                    f"another albumswarm process is downloading with {self.folder}: "
                    "wait for it, or use another --data"
                ) from error
            self._sweep()
            stack.callback(self._forget_folders)
            self._folders = self._read_folders()
            yield


def _read_json(path: Path, type_: type[R]) -> R | None:
    data = read_file_if_present(path, max_bytes=64 << 20)
    try:
        return None if data is None else msgspec.json.decode(data, type=type_)
    except msgspec.DecodeError as error:
        raise StorageError(f"{path} is damaged ({error}): remove it and try again") from error
