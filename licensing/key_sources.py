"""Where stores' keys come from: PEM files, a JSON Web Key Set in a file, or one at a URL."""

import hashlib
import re
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import trio
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_lib.durable import (
    private_folder,
    read_file,
    read_file_if_present,
    read_text,
    write_atomically,
)
from client_lib.errors import ConfigError, StorageError, UnreachableError
from client_lib.transport.http import HttpAnswer, open_http
from client_lib.transport.tls import client_context, system_context
from licensing.config import IssuerConfig
from licensing.issuers import Issuers, KeySource
from licensing.jwks import MAX_JWKS_BYTES, JwksError, parse_jwks

FETCH_WITHIN_S = 10.0
WANTED_EVERY_S = 60.0
"""How often, at most, tokens with an unknown `kid` may send us to a URL."""
RETRIED_AFTER_S = 60.0
DEFAULT_MAX_AGE_S = 900.0
SHORTEST_MAX_AGE_S, LONGEST_MAX_AGE_S = 60.0, 86_400.0

_OK, _NOT_MODIFIED = 200, 304

Keys = Mapping[str, Ed25519PublicKey]


class KeyFiles:
    """Files, all read again when one of them changes; together they are good or not."""

    def __init__(self, paths: tuple[Path, ...], read: Callable[[], Keys]) -> None:
        """Read them now. Raises ConfigError naming the file."""
        self._paths = paths
        self._read = read
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self.keys: Keys = {}
        self._load()

    async def refresh(self, *, wanted: bool) -> None:
        """See `KeySource`. Raises ConfigError. `wanted` changes nothing: to look costs nothing."""
        del wanted
        await trio.lowlevel.checkpoint()
        self._load()

    def _load(self) -> None:
        found = self._fingerprint()
        if found == self._seen:
            return
        self.keys = self._read()
        # Only now: what could not be read is tried again the next time.
        self._seen = found

    def _fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        try:
            stats = [path.stat() for path in self._paths]
        except OSError as error:
            raise ConfigError(f"issuers: cannot read {error.filename}: {error.strerror}") from error
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


class CachedJwks(msgspec.Struct, frozen=True):
    """What was fetched last, as it is kept on disk for a start while the store is away."""

    url: str
    etag: str
    document: bytes


class JwksUrl:
    """A key set behind HTTPS, cached for as long as the store says, and kept while it is away.

    `clock`: seconds, monotonic.
    """

    def __init__(
        self, url: str, context: ssl.SSLContext, cache: Path, *, clock: Callable[[], float]
    ) -> None:
        """Take the keys of the last time from the file `cache`, if there are any of this URL."""
        self.url = url
        self._context = context
        self._cache = cache
        self._clock = clock
        self._etag = ""
        self._due = clock()
        self._tried: float | None = None
        self.keys: Keys = {}
        self._recall()

    async def refresh(self, *, wanted: bool) -> None:
        """See `KeySource`. Raises UnreachableError, JwksError, StorageError."""
        now = self._clock()
        due = now >= self._due
        wanted = wanted and (self._tried is None or now - self._tried >= WANTED_EVERY_S)
        if not due and not wanted:
            await trio.lowlevel.checkpoint()
            return
        self._tried = now
        self._due = now + RETRIED_AFTER_S
        answer = await self._fetch()
        unchanged = answer.status == _NOT_MODIFIED and bool(self.keys)
        if not unchanged and answer.status != _OK:  # redirects, too: the URL is the store's word
            raise UnreachableError(self.url, f"HTTP status {answer.status}")
        keys = self.keys if unchanged else parse_jwks(answer.body)
        self._due = self._clock() + _max_age_s(answer.headers.get("cache-control", ""))
        if unchanged:
            return
        self.keys = keys
        self._etag = answer.headers.get("etag", "")[:1000]
        private_folder(self._cache.parent)
        kept = CachedJwks(self.url, self._etag, answer.body)
        write_atomically(self._cache, msgspec.json.encode(kept), mode=0o600)

    async def _fetch(self) -> HttpAnswer:
        headers = {"Accept": "application/jwk-set+json, application/json"}
        if self._etag and self.keys:
            headers["If-None-Match"] = self._etag
        parts = urllib.parse.urlsplit(self.url)
        service = f"{parts.scheme}://{parts.netloc}"
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        try:
            with trio.fail_after(FETCH_WITHIN_S):
                async with open_http(self._context, headers=headers) as http:
                    return await http.ask(service, "GET", target, max_bytes=MAX_JWKS_BYTES)
        except trio.TooSlowError as error:
            raise UnreachableError(self.url, f"no answer within {FETCH_WITHIN_S:.0f} s") from error
        except UnreachableError as error:
            raise UnreachableError(self.url, error.why) from error

    def _recall(self) -> None:
        try:
            kept = read_file_if_present(self._cache)
            cached = None if kept is None else msgspec.json.decode(kept, type=CachedJwks)
            if cached is not None and cached.url == self.url:
                self.keys = parse_jwks(cached.document)
                self._etag = cached.etag
        except (msgspec.DecodeError, JwksError, StorageError):
            return  # a cache that cannot be read is none: it is fetched anew


def _max_age_s(cache_control: str) -> float:
    found = re.search(r"(?:^|,)\s*max-age=([0-9]{1,9})\s*(?:,|$)", cache_control.lower())
    age_s = float(found[1]) if found else DEFAULT_MAX_AGE_S
    return min(max(age_s, SHORTEST_MAX_AGE_S), LONGEST_MAX_AGE_S)


def open_issuers(
    data: Path, issuers: tuple[IssuerConfig, ...], *, clock: Callable[[], float] = trio.current_time
) -> Issuers:
    """Make every store's sources, paths from `data` on. Raises ConfigError naming the file.

    Files are read here; URLs are not asked before `Issuers.refresh`.
    """
    return Issuers({issuer.name: _sources(data, issuer, clock) for issuer in issuers})


def _sources(data: Path, issuer: IssuerConfig, clock: Callable[[], float]) -> tuple[KeySource, ...]:
    sources: list[KeySource] = []
    if issuer.keys:
        by_kid = {kid: data / name for kid, name in issuer.keys.items()}
        sources.append(KeyFiles(tuple(by_kid.values()), lambda: _read_pem_files(by_kid)))
    if issuer.jwks_file:
        path = data / issuer.jwks_file
        sources.append(KeyFiles((path,), lambda: _read_jwks_file(path)))
    if issuer.jwks_url:
        cache = data / "jwks" / (hashlib.sha256(issuer.jwks_url.encode()).hexdigest() + ".json")
        context = _context(data, issuer)
        sources.append(JwksUrl(issuer.jwks_url, context, cache, clock=clock))
    return tuple(sources)


def _context(data: Path, issuer: IssuerConfig) -> ssl.SSLContext:
    if not issuer.jwks_ca:
        return system_context()
    try:
        return client_context(read_text(data / issuer.jwks_ca))
    except StorageError as error:
        raise ConfigError(f"issuers: jwks_ca of {issuer.name}: {error}") from error


def _read_pem_files(paths: Mapping[str, Path]) -> Keys:
    return {kid: _read_public_key(path) for kid, path in paths.items()}


def _read_public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(read_file(path))
    except StorageError as error:
        raise ConfigError(f"issuers: {error}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"issuers: {path} is not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"issuers: {path} is not an Ed25519 key")
    return key


def _read_jwks_file(path: Path) -> Keys:
    try:
        return parse_jwks(read_file(path, max_bytes=MAX_JWKS_BYTES))
    except (StorageError, JwksError) as error:
        raise ConfigError(f"issuers: {path}: {error}") from error
