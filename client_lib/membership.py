"""Membership of one sealed swarm: the per-customer torrent, and the credential that opens it."""

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio
from cryptography import x509

from client_lib.durable import private_folder, read_file_if_present, write_atomically
from client_lib.errors import LicenceRefused, LicenceRevoked, LicensingRefused, WireError
from client_lib.transport.credential import Credential, obtain_credential
from client_lib.transport.key_encryption import KeyEncryption
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.certificates import BACKDATED_BY, LicenceIdentity
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES, CertificateAnswer, LicenceRecord
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.problem import ProblemType
from client_lib.wire.signature import verify_stamp

TORRENT_FILE = "album.torrent"
CREDENTIAL_FILE = "credential.pem"


@dataclass(frozen=True, slots=True)
class Membership:
    """Everything needed to join: the licence, its verified torrent, key and certificate."""

    licence: LicenceRecord
    torrent: bytes = field(repr=False)
    metainfo: Metainfo = field(repr=False)
    credential: Credential


async def join(
    licence: LicenceRecord,
    folder: Path,
    licensing: LicensingClient,
    *,
    ca: x509.Certificate,
    now: dt.datetime,
    rng: random.Random,
    on_issued: Callable[[dt.datetime], None] = lambda _at: None,
    encryption: KeyEncryption | None = None,
) -> Membership:
    """Get torrent and certificate of a licence, from `folder` or else from licensing.

    With both in `folder` and fresh, or licensing away, nothing is asked. `on_issued` is told by
    licensing's clock when a certificate was issued just now. Raises LicenceRefused,
    UnreachableError, SignatureError (a torrent that is not the store's), CertificateError (one
    that is not valid now).
    """
    private_folder(folder)
    try:
        torrent, metainfo = await _torrent(licence, folder / TORRENT_FILE, licensing, ca, now)
        credential = await obtain_credential(
            folder / CREDENTIAL_FILE,
            LicenceCertificateRequest(licence, licensing, on_issued),
            ca=ca,
            now=now,
            rng=rng,
            encryption=encryption,
        )
    except LicensingRefused as error:
        raise refusal(licence, error) from error
    expected = LicenceIdentity(licence.licence_id, licence.name, metainfo.info_hash)
    if credential.identity != expected:
        raise LicenceRefused(f"{licence.name}: licensing issued a certificate for something else")
    return Membership(licence, torrent, metainfo, credential)


@dataclass(frozen=True, slots=True)
class LicenceCertificateRequest:
    """`client_lib.transport.credential.RequestCertificate` for one licence."""

    licence: LicenceRecord
    licensing: LicensingClient
    on_issued: Callable[[dt.datetime], None] = lambda _at: None

    async def __call__(self, csr: str) -> CertificateAnswer:
        """Ask licensing for a licence certificate."""
        answer = await self.licensing.licence_certificate(self.licence.licence_id, csr)
        self.on_issued(answer.not_before + BACKDATED_BY)
        return answer


def refusal(licence: LicenceRecord, error: LicensingRefused) -> LicenceRefused:
    """Licensing's refusal in the customer's terms."""
    if error.problem_type == ProblemType.LICENCE_REVOKED:
        return LicenceRevoked(
            f"{licence.name}: this licence was revoked (a refund or chargeback); "
            "ask the store if that is wrong"
        )
    return LicenceRefused(f"{licence.name}: {error.detail}")


def stored_metainfo(folder: Path) -> Metainfo | None:
    """Torrent of an earlier `join`, as it is on disk; None if there is none or it is damaged."""
    stored = read_file_if_present(folder / TORRENT_FILE, max_bytes=MAX_TORRENT_BYTES)
    try:
        return None if stored is None else Metainfo.from_bytes(stored)
    except WireError:
        return None


async def _torrent(
    licence: LicenceRecord,
    path: Path,
    licensing: LicensingClient,
    ca: x509.Certificate,
    now: dt.datetime,
) -> tuple[bytes, Metainfo]:
    """Torrent from disk if it verifies, otherwise from licensing. Never an unverified one."""
    stored = read_file_if_present(path, max_bytes=MAX_TORRENT_BYTES)
    if stored is not None:
        try:
            metainfo = await trio.to_thread.run_sync(_verified, licence, stored, ca, now)
        except WireError:
            pass  # damaged, or the signer's year is over: licensing has a fresh one
        else:
            return stored, metainfo
    fetched = await licensing.licence_torrent(licence.licence_id)
    metainfo = await trio.to_thread.run_sync(_keep_verified, path, licence, fetched, ca, now)
    return fetched, metainfo


def _keep_verified(
    path: Path, licence: LicenceRecord, torrent: bytes, ca: x509.Certificate, now: dt.datetime
) -> Metainfo:
    metainfo = _verified(licence, torrent, ca, now)
    # After a power cut licensing has it still; a sync would cost more than all the rest of it.
    write_atomically(path, torrent, power_cut_safe=False)
    return metainfo


def _verified(
    licence: LicenceRecord, torrent: bytes, ca: x509.Certificate, now: dt.datetime
) -> Metainfo:
    """Parse, then check the store's signature and that it is this licence's torrent."""
    metainfo = Metainfo.from_bytes(torrent)
    stamp = verify_stamp(metainfo, ca=ca, now=now)
    if stamp.licence_id != licence.licence_id or metainfo.name != licence.name:
        raise LicenceRefused(f"{licence.name}: licensing sent the torrent of something else")
    if metainfo.info_hash != InfoHash.from_hex(licence.info_hash):
        raise LicenceRefused(f"{licence.name}: the torrent is not the release that was bought")
    return metainfo
