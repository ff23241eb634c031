import dataclasses
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client_lib.wire import certificates
from client_lib.wire.certificates import HostIdentity, SeederIdentity, SignerIdentity
from client_lib.wire.infohash import InfoHash, TruncatedInfoHash
from tests.pki import SwarmPki, licence_identity, utc_now
from tracker.trust.admission import Admission, NotAdmitted, Refusal

LICENCE = licence_identity()
HASH = LICENCE.info_hash.truncated
OTHER_HASH = InfoHash.of(b"other").truncated
NOW_S = utc_now().timestamp()


@dataclasses.dataclass
class KnownRevocations:
    serials: frozenset[int] = frozenset()
    current: bool = True

    def is_current(self, now_s: float) -> bool:
        return self.current

    def is_revoked(self, serial: int) -> bool:
        return serial in self.serials

    @property
    def version(self) -> object:
        return object()


@pytest.fixture(scope="module")
def pki() -> SwarmPki:
    return SwarmPki()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def refusal(
    admission: Admission,
    certificate: x509.Certificate,
    *,
    member_id: str = LICENCE.licence_id,
    info_hash: TruncatedInfoHash = HASH,
    revocations: KnownRevocations | None = None,
    now_s: float = NOW_S,
) -> Refusal | None:
    try:
        member = admission.recognise(der(certificate))
        admission.admit(member, member_id, info_hash, revocations or KnownRevocations(), now_s)
    except NotAdmitted as refused:
        return refused.refusal
    return None


def test_a_licence_announces_its_own_swarm_under_its_own_id(pki: SwarmPki) -> None:
    leaf = pki.issue(LICENCE).certificate
    admission = Admission(pki.ca)
    assert refusal(admission, leaf) is None
    other_id = licence_identity(number=2).licence_id
    assert refusal(admission, leaf, member_id=other_id) is Refusal.OTHER_LICENCE
    assert refusal(admission, leaf, member_id=LICENCE.licence_id + "x") is Refusal.OTHER_LICENCE
    assert refusal(admission, leaf, info_hash=OTHER_HASH) is Refusal.OTHER_SWARM


def test_a_seeder_announces_any_swarm_under_its_own_id(pki: SwarmPki) -> None:
    leaf = pki.issue(SeederIdentity("node-1")).certificate
    admission = Admission(pki.ca)
    assert refusal(admission, leaf, member_id="node-1") is None
    assert refusal(admission, leaf, member_id="node-1", info_hash=OTHER_HASH) is None
    assert refusal(admission, leaf, member_id="node-2") is Refusal.OTHER_LICENCE


@pytest.mark.parametrize(
    "identity", [HostIdentity("t1", ("localhost",)), SignerIdentity(1, "com.example.shop")]
)
def test_hosts_and_signers_join_no_swarm(
    pki: SwarmPki, identity: HostIdentity | SignerIdentity
) -> None:
    assert refusal(Admission(pki.ca), pki.issue(identity).certificate) is Refusal.ROLE


def test_another_ca_s_certificate_is_refused_even_with_the_same_ca_name(pki: SwarmPki) -> None:
    assert refusal(Admission(pki.ca), SwarmPki().issue(LICENCE).certificate) is Refusal.CERTIFICATE


def test_rubbish_and_the_ca_itself_are_no_members(pki: SwarmPki) -> None:
    admission = Admission(pki.ca)
    assert refusal(admission, pki.ca) is Refusal.CERTIFICATE
    with pytest.raises(NotAdmitted):
        admission.recognise(b"\x30\x03\x02\x01\x00")


def test_time_and_revocation_are_checked_at_every_announce(pki: SwarmPki) -> None:
    leaf = pki.issue(LICENCE).certificate
    admission = Admission(pki.ca)
    assert refusal(admission, leaf) is None
    end_s = leaf.not_valid_after_utc.timestamp()
    begin_s = leaf.not_valid_before_utc.timestamp()
    assert refusal(admission, leaf, now_s=end_s) is None
    assert refusal(admission, leaf, now_s=end_s + 1) is Refusal.EXPIRED
    assert refusal(admission, leaf, now_s=begin_s - 1) is Refusal.NOT_YET_VALID
    revoked = KnownRevocations(frozenset({leaf.serial_number}))
    assert refusal(admission, leaf, revocations=revoked) is Refusal.REVOKED
    unknown = KnownRevocations(current=False)
    assert refusal(admission, leaf, revocations=unknown) is Refusal.REVOCATIONS_UNKNOWN
    assert refusal(admission, leaf) is None


def test_verified_members_are_remembered_up_to_a_bound_and_failures_never(
    pki: SwarmPki, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = [pki.issue(licence_identity(number=n)).certificate for n in range(5)]
    stranger = SwarmPki().issue(LICENCE).certificate
    verified: list[int] = []
    real = certificates.verify_issued

    def verify(certificate: x509.Certificate, ca: x509.Certificate, now: dt.datetime) -> None:
        verified.append(certificate.serial_number)
        real(certificate, ca, now)

    monkeypatch.setattr(certificates, "verify_issued", verify)
    admission = Admission(pki.ca, remembered=2)
    for leaf in (*leaves, leaves[4], leaves[3], leaves[4]):
        admission.recognise(der(leaf))
    numbers = [leaf.serial_number for leaf in leaves]
    assert verified == numbers  # the last two are always remembered
    for _ in range(2):
        assert refusal(admission, stranger) is Refusal.CERTIFICATE
    assert verified == [*numbers, stranger.serial_number, stranger.serial_number]
    admission.recognise(der(leaves[0]))
    assert verified[-1] == numbers[0]  # forgotten: never more than twice two
    remembered = admission.members({leaf.serial_number for leaf in leaves})
    assert len(remembered) == len({member.serial for member in remembered}) <= 4


def test_every_refusal_says_in_bep_31_s_words_when_to_come_back() -> None:
    for reason in Refusal:
        refused = NotAdmitted(reason)
        assert refused.reason.startswith(f"{reason.word}: ")
        never = refused.retry_in_s is None
        assert never == (reason.retry_in == "never")


def test_a_certificate_with_any_byte_changed_is_refused_as_one_and_nothing_else(
    pki: SwarmPki,
) -> None:
    """Found by `make fuzz-tracker`: an X.509 version of 62 was an error of its own kind."""
    admission = Admission(pki.ca)
    leaf = pki.issue(LICENCE).certificate
    good = der(leaf)
    admission.recognise(good)
    # The count of unused bits before the signature: which one of several encodings of the same
    # signature it is. The certificate says the same either way, serial number included.
    unused_bits = good.index(leaf.signature) - 1
    for at in range(len(good)):
        if at == unused_bits:
            continue
        for change in (0x01, 0x40, 0x80, 0xFF):
            changed = bytearray(good)
            changed[at] ^= change
            with pytest.raises(NotAdmitted) as refused:
                admission.recognise(bytes(changed))
            assert refused.value.refusal is Refusal.CERTIFICATE
