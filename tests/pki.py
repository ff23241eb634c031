"""A swarm CA for tests, and leaves of every role under it."""

import datetime as dt
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from client_lib.wire import certificates
from client_lib.wire.certificates import Identity, LicenceIdentity
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Leaf:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> str:
        return certificates.certificate_pem(self.certificate)

    @property
    def key_pem(self) -> str:
        return certificates.key_pem(self.key)


@dataclass(frozen=True)
class SwarmPki:
    common_name: str = "test swarm CA"
    ca_key: ec.EllipticCurvePrivateKey = field(default_factory=certificates.new_key)
    ca: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        ca = certificates.new_ca(
            self.common_name, self.ca_key, serial=x509.random_serial_number(), now=utc_now()
        )
        object.__setattr__(self, "ca", ca)

    @property
    def ca_pem(self) -> str:
        return certificates.certificate_pem(self.ca)

    def issue(
        self,
        identity: Identity,
        *,
        now: dt.datetime | None = None,
        lifetime: dt.timedelta | None = None,
    ) -> Leaf:
        key = certificates.new_key()
        certificate = certificates.issue(
            identity,
            key.public_key(),
            ca=self.ca,
            ca_key=self.ca_key,
            serial=x509.random_serial_number(),
            now=now or utc_now(),
            lifetime=lifetime,
        )
        return Leaf(certificate, key)

    def expired(self, identity: Identity) -> Leaf:
        return self.issue(identity, now=utc_now() - dt.timedelta(days=3))


def licence_identity(
    name: str = "rel-0001.flac-16-44", info: bytes = b"de", *, number: int = 1
) -> LicenceIdentity:
    licence_id = licence_id_from(number.to_bytes(16, "big"))
    return LicenceIdentity(licence_id, TorrentName(name), InfoHash.of(info))
