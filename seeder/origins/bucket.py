"""A bucket origin: any S3-compatible store, with a cache of verified pieces on the node's disk.

Objects are called as the files are: `<name>/<path>` beside `<name>.torrent`, which is written
last: a release whose torrent is there is whole.
"""

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from client_lib.errors import StorageError, UsageError
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from seeder.origins.disk_cache import DiskCache
from seeder.origins.pieces import DamagedPiece, PieceMap, verify

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._/-]*))?")
_FETCHES = 3
"""How often a piece that arrives wrong is asked for: a truncated answer is not the object."""
_MOST_RETRIES = 4  # obstore's own, of 5xx and broken connections, with backoff
_RETRY_TIMEOUT = dt.timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """`s3://bucket/prefix`, and the endpoint of a store that is not Amazon's."""

    bucket: str
    prefix: str
    endpoint: str | None = None

    @classmethod
    def parse(cls, url: str, endpoint: str | None = None) -> "BucketPlace":
        """Raises UsageError."""
        match = _URL.fullmatch(url)
        if match is None or ".." in url:
            raise UsageError(f"origin {url}: s3://BUCKET or s3://BUCKET/PREFIX is needed")
        if endpoint is not None and not re.fullmatch(r"https?://[^/\s]+/?", endpoint):
            raise UsageError(f"s3_endpoint {endpoint}: https://host or https://host:port is needed")
        return cls(match[1], (match[2] or "").strip("/"), endpoint)

    def __str__(self) -> str:
        """As it was given."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def open_bucket(place: BucketPlace) -> S3Store:
    """Open a store. Credentials come from the environment (AWS_ACCESS_KEY_ID, …) or the machine's
    role, never from our configuration."""
    options = {"endpoint": place.endpoint} if place.endpoint else {}
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        # Plain HTTP is for a store on this machine or in its rack; pieces are verified anyway.
        client_options={"allow_http": bool(place.endpoint), "timeout": "30s"},
        retry_config={"max_retries": _MOST_RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        **options,  # type: ignore[arg-type]
    )


class BucketOrigin:
    """Releases in a bucket. Blocking."""

    def __init__(self, place: BucketPlace, cache: DiskCache) -> None:
        """Open `place`; keep pieces in `cache`."""
        self._place = place
        self._store = open_bucket(place)
        self.cache = cache

    def torrent(self, name: TorrentName) -> bytes | None:
        """A release's torrent as published, or None. Raises StorageError."""
        try:
            found = obstore.get(self._store, f"{name}.torrent")
            if found.meta["size"] > MAX_TORRENT_BYTES:
                raise StorageError(f"{self.where(name)} is larger than any torrent")
            return bytes(found.bytes())
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        except BaseError as error:
            raise StorageError(f"cannot read {self.where(name)}: {_first_line(error)}") from error

    def where(self, name: TorrentName) -> str:
        """How to name a release's place to a person."""
        return f"{self._place}/{name}.torrent"

    def defect(self, torrent: Metainfo) -> str | None:
        """None: its torrent was written last, and every piece is verified when it arrives."""
        del torrent
        return None

    def reader(self, torrent: Metainfo, pieces: PieceMap) -> "BucketReader":
        """A reader of a release's pieces."""
        return BucketReader(self._store, str(self._place), torrent, pieces, self.cache)

    def put(self, name: TorrentName, path: tuple[str, ...], file: Path) -> None:
        """Upload one file of a release. Raises StorageError."""
        key = "/".join((name, *path))
        try:
            obstore.put(self._store, key, file)
        except BaseError as error:
            raise StorageError(f"cannot write {self._place}/{key}: {_first_line(error)}") from error

    def finish(self, name: TorrentName, torrent: bytes) -> None:
        """Write the torrent, and so make the release visible. Raises StorageError."""
        try:
            obstore.put(self._store, f"{name}.torrent", torrent)
        except BaseError as error:
            raise StorageError(f"cannot write {self.where(name)}: {_first_line(error)}") from error


class BucketReader:
    """Reads a release's pieces from the cache, else from the bucket."""

    def __init__(
        self, store: S3Store, place: str, torrent: Metainfo, pieces: PieceMap, cache: DiskCache
    ) -> None:
        """Read one release."""
        self._store = store
        self._place = place
        self._name = torrent.name
        self._info_hash_hex = torrent.info_hash.hex
        self._cache = cache
        self._cached = cache.release(self._info_hash_hex)
        self._pieces = pieces

    def read(self, piece: int) -> bytes:
        """A piece, verified. Raises StorageError (DamagedPiece)."""
        place = self._pieces.place(piece)
        data = self._cached.get(piece)
        if data is not None:
            try:
                verify(data, place)
            except DamagedPiece:
                self._cached.drop(piece)
            else:
                return data
        data = self._fetched(piece)
        self._cached.put(piece, data)
        return data

    def hold(self, *, in_use: bool) -> None:
        """Keep its pieces while somebody is downloading."""
        if in_use:  # it may have been evicted meanwhile, and is what was asked for last
            self._cached = self._cache.release(self._info_hash_hex)
        self._cached.in_use = in_use

    def _fetched(self, piece: int) -> bytes:
        place = self._pieces.place(piece)
        key = "/".join((self._name, *place.file.path))
        wrong: DamagedPiece | None = None
        for _ in range(_FETCHES):
            try:
                data = bytes(
                    obstore.get_range(
                        self._store, key, start=place.offset_bytes, length=place.length_bytes
                    )
                )
                verify(data, place)
            except DamagedPiece as error:
                wrong = error
            except (BaseError, FileNotFoundError) as error:
                where = f"{self._place}/{key}"
                raise StorageError(f"cannot read {where}: {_first_line(error)}") from error
            else:
                return data
        raise DamagedPiece(f"{self._place}/{self._name}/{wrong}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
