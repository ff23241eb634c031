"""The torrent signer: the store's key for BEP 35 signatures, certified by the swarm CA."""

import random
from pathlib import Path

import structlog
import trio

from client_lib.errors import CertificateError, StorageError
from client_lib.passphrase import Passphrase
from client_lib.transport.credential import (
    Credential,
    load_credential_file,
    obtain_credential,
    request_credential,
)
from client_lib.transport.key_encryption import KeyEncryption
from client_lib.wire.certificates import Identity, SignerIdentity
from licensing.authority import Authority
from licensing.config import Clock

SIGNER_NUMBER = 1
_CHECKED_EVERY_S = 24 * 3600.0  # the life is a year: the day does not matter


async def own_credential(
    path: Path,
    identity: Identity,
    authority: Authority,
    *,
    clock: Clock,
    rng: random.Random,
    passphrase: Passphrase | None = None,
) -> Credential:
    """A credential of licensing itself, from disk while it is fresh, else issued anew.

    With a `passphrase`, its key is encrypted at rest.
    """
    ask = authority.self_service(identity, clock)
    ca, encryption = authority.certificate, KeyEncryption(passphrase.secret) if passphrase else None
    stored = load_credential_file(path, encryption)
    if stored is not None and not _is_for(stored, identity):
        return await request_credential(path, ask, ca=ca, now=clock(), encryption=encryption)
    return await obtain_credential(path, ask, ca=ca, now=clock(), rng=rng, encryption=encryption)


def _is_for(credential: Credential, identity: Identity) -> bool:
    try:
        return credential.identity == identity
    except CertificateError:
        return False


class TorrentSigner:
    """Holds the signer's credential and keeps it fresh."""

    def __init__(
        self,
        path: Path,
        store: str,
        authority: Authority,
        *,
        clock: Clock,
        rng: random.Random,
        passphrase: Passphrase | None = None,
    ) -> None:
        """Hold nothing until `refresh`."""
        self.store = store
        self._path = path
        self._authority = authority
        self._clock = clock
        self._rng = rng
        self._passphrase = passphrase
        self._credential: Credential | None = None

    @property
    def credential(self) -> Credential:
        """Certificate and key for `client_lib.wire.signature.stamp`."""
        if self._credential is None:
            raise RuntimeError("refresh the signer before signing")
        return self._credential

    async def refresh(self) -> None:
        """Load the credential, or issue it if it is missing, another store's or half spent."""
        identity = SignerIdentity(SIGNER_NUMBER, self.store)
        self._credential = await own_credential(
            self._path,
            identity,
            self._authority,
            clock=self._clock,
            rng=self._rng,
            passphrase=self._passphrase,
        )

    async def keep_fresh(self) -> None:
        """Refresh once a day, for ever. A failure is logged: half a year is left then."""
        while True:
            await trio.sleep(_CHECKED_EVERY_S)
            try:
                await self.refresh()
            except StorageError as error:
                structlog.get_logger().error("torrent signer not renewed", error=str(error))
