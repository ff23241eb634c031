"""A private key with its certificate on disk, obtained by CSR and renewed at half-life."""

import datetime as dt
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from client_lib.durable import private_folder, read_file_if_present, write_secret
from client_lib.errors import CertificateError, StorageError, UnreachableError
from client_lib.transport.key_encryption import KeyEncryption
from client_lib.wire import certificates
from client_lib.wire.licensing_api import CertificateAnswer

RequestCertificate = Callable[[str], Awaitable[CertificateAnswer]]
"""Ask licensing for a certificate: CSR (PEM) in, answer out."""

# Share of the half-life by which renewal may come earlier: a fleet started together renews spread
# out. Never later, so that a licence in use always outlasts an outage of licensing of 12 hours.
_RENEWAL_JITTER = 0.1
_PLAIN_KEY = "-----BEGIN PRIVATE KEY-----"
_RETRY_S = (5.0, 300.0)  # first and longest wait between attempts while licensing is away


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """Key and leaf certificate, kept together in one PEM file of mode 0600."""

    path: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    encryption: KeyEncryption | None = None

    def __repr__(self) -> str:
        """Never print the key."""
        return f"Credential({str(self.path)!r}, …)"

    @property
    def identity(self) -> certificates.Identity:
        """Who the certificate says we are."""
        return certificates.identify(self.certificate)

    @property
    def certificate_pem(self) -> str:
        """The certificate alone."""
        return certificates.certificate_pem(self.certificate)

    @property
    def key_pem(self) -> str:
        """The key alone. Secret."""
        return certificates.key_pem(self.key)

    def seconds_left(self, now: dt.datetime) -> float:
        """Seconds until the certificate expires; negative afterwards."""
        return (self.certificate.not_valid_after_utc - now).total_seconds()

    def seconds_to_renewal(self, now: dt.datetime, rng: random.Random) -> float:
        """Seconds until half of the life is over, less jitter. Zero or less: renew now.

        The life counts from when the certificate was issued, not from its backdated start.
        """
        leaf = self.certificate
        issued_at = leaf.not_valid_before_utc + certificates.BACKDATED_BY
        half_life = (leaf.not_valid_after_utc - issued_at).total_seconds() / 2
        return self.seconds_left(now) - half_life * (1 + rng.uniform(0, _RENEWAL_JITTER))


def load_credential_file(path: Path, encryption: KeyEncryption | None = None) -> Credential | None:
    """Read a credential, or None if there is none (or only half of one: then get a new one).

    With `encryption`, one whose key is not encrypted with it is none, unless it takes plain ones.
    """
    pem = read_file_if_present(path)
    if pem is None:
        return None
    text = pem.decode(errors="replace")
    try:
        key, certificate = _load_key(text, encryption), certificates.load_certificate(text)
    except CertificateError:
        return None
    if not _belong_together(key, certificate):
        return None
    return Credential(path, key, certificate, encryption)


def keep_credential(credential: Credential) -> None:
    """Write it to its file, encrypted as it says. Raises StorageError."""
    encryption = credential.encryption
    passphrase = encryption.passphrase if encryption is not None and encryption.encrypts else None
    pem = certificates.key_pem(credential.key, passphrase) + credential.certificate_pem
    write_secret(credential.path, pem.encode())


def _load_key(text: str, encryption: KeyEncryption | None) -> ec.EllipticCurvePrivateKey:
    if encryption is None or (encryption.takes_plain and _PLAIN_KEY in text):
        return certificates.load_key(text)
    return certificates.load_key(text, encryption.passphrase)


async def request_credential(
    path: Path,
    ask: RequestCertificate,
    *,
    ca: x509.Certificate,
    now: dt.datetime,
    key: ec.EllipticCurvePrivateKey | None = None,
    encryption: KeyEncryption | None = None,
) -> Credential:
    """Ask for a certificate for `key` (None: a fresh one), verify the answer, keep it on disk.

    `encryption` says how.

    Raises CertificateError if the answer is not for our key or not by `ca`.
    """
    key = key or certificates.new_key()
    answer = await ask(certificates.make_csr(key))
    certificate = certificates.load_certificate(answer.certificate)
    certificates.verify_issued(certificate, ca, now)
    if not _belong_together(key, certificate):
        raise CertificateError("licensing answered with a certificate for another key")
    credential = Credential(path, key, certificate, encryption)
    private_folder(path.parent)
    await trio.to_thread.run_sync(keep_credential, credential)
    return credential


async def obtain_credential(
    path: Path,
    ask: RequestCertificate,
    *,
    ca: x509.Certificate,
    now: dt.datetime,
    rng: random.Random,
    encryption: KeyEncryption | None = None,
) -> Credential:
    """Credential from disk while it is fresh, otherwise from licensing.

    If licensing is away and the one on disk is still valid, that one is good enough.
    """
    stored = load_credential_file(path, encryption)
    if stored is not None:
        try:
            certificates.verify_issued(stored.certificate, ca, now)
        except CertificateError:
            stored = None
    if stored is not None and stored.seconds_to_renewal(now, rng) > 0:
        await trio.lowlevel.checkpoint()
        return stored
    try:
        return await request_credential(
            path,
            ask,
            ca=ca,
            now=now,
            key=stored.key if stored else None,
            encryption=encryption,
        )
    except UnreachableError:
        if stored is None:
            raise
        return stored


async def keep_renewed(
    credential: Credential,
    ask: RequestCertificate,
    *,
    ca: x509.Certificate,
    clock: Callable[[], dt.datetime],
    rng: random.Random,
    on_renewed: Callable[[Credential], Awaitable[None]],
    on_delayed: Callable[[Exception], None] = lambda _error: None,
) -> None:
    """Renew at half-life, for ever. While licensing is away it retries, with backoff.

    A refusal (LicensingRefused: the licence was revoked, say) ends it by raising.
    """
    while True:
        await trio.sleep(max(0.0, credential.seconds_to_renewal(clock(), rng)))
        retry_s = _RETRY_S[0]
        while True:
            try:
                credential = await request_credential(
                    credential.path,
                    ask,
                    ca=ca,
                    now=clock(),
                    key=credential.key,
                    encryption=credential.encryption,
                )
                break
            except (UnreachableError, StorageError, CertificateError) as error:
                # A bad answer (a clock that is off, a restart half done) is no reason to stop
                # before the certificate that we have ends.
                on_delayed(error)
            await trio.sleep(retry_s * rng.uniform(0.5, 1.0))
            retry_s = min(retry_s * 2, _RETRY_S[1])
        await on_renewed(credential)


def _belong_together(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
