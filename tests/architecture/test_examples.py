"""Examples in docs/protocol are read by the real parsers, and say what the text says."""

import datetime as dt
import json
from collections.abc import Mapping

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.errors import BencodeError
from client_lib.wire import (
    bencode,
    certificates,
    licensing_api,
    payment_token,
    problem,
    revocation_token,
)
from client_lib.wire.certificates import (
    HostIdentity,
    Identity,
    LicenceIdentity,
    SeederIdentity,
    SignerIdentity,
)
from client_lib.wire.crl import RevocationList
from client_lib.wire.licence import LicenceId
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from client_lib.wire.signature import Stamp, verify_stamp
from tests.architecture.documents import ROOT, Block, blocks

PROTOCOL = ROOT / "docs" / "protocol"
EXAMPLES = PROTOCOL / "examples"
NOW = dt.datetime(2026, 11, 21, 20, tzinfo=dt.UTC)
CA = certificates.load_certificate((EXAMPLES / "swarm-ca.pem").read_text())
PUBLISHED = Metainfo.from_bytes((EXAMPLES / "published.torrent").read_bytes())
LICENCE = LicenceId("aebagbafaydqqcikbmga2dqpca")

IDENTITIES: dict[str, Identity] = {
    "licence": LicenceIdentity(LICENCE, TorrentName("rel-0001.flac-24-96"), PUBLISHED.info_hash),
    "seeder": SeederIdentity("seeder-1"),
    "host": HostIdentity("tracker-1", ("tracker.example.com",)),
    "signer": SignerIdentity(1, "com.example.shop"),
}
RECORDS: dict[str, type[msgspec.Struct]] = {
    "payment_token": licensing_api.RedemptionRequest,
    "licences": licensing_api.RedemptionAnswer,
    "balances": licensing_api.BalanceAnswer,
    "formats": licensing_api.ReleaseQuote,
    "currency": licensing_api.PurchaseRequest,
    "licence": licensing_api.PurchaseAnswer,
    "revocation_token": licensing_api.RevocationRequest,
    "purchase": licensing_api.RevocationAnswer,
    "csr": licensing_api.CertificateRequest,
    "certificate": licensing_api.CertificateAnswer,
}


def in_document(name: str, language: str) -> list[Block]:
    return [block for block in blocks(PROTOCOL / name) if block.language == language]


def unescaped(text: str) -> bytes:
    return text.replace("\n", "").encode("latin-1").decode("unicode_escape").encode("latin-1")


@pytest.mark.parametrize("role", IDENTITIES)
def test_example_certificates_are_of_their_role_and_by_the_example_ca(role: str) -> None:
    certificate = certificates.load_certificate((EXAMPLES / f"{role}.pem").read_text())
    certificates.verify_issued(certificate, CA, NOW)
    assert certificates.identify(certificate) == IDENTITIES[role]


def test_lifetimes_in_the_table_are_those_of_the_examples() -> None:
    table = (PROTOCOL / "certificates.md").read_text()
    hours = {"24 h": 24, "30 d": 30 * 24, "365 d": 365 * 24}
    for role in IDENTITIES:
        row = next(line for line in table.splitlines() if line.startswith(f"| {_title(role)} |"))
        certificate = certificates.load_certificate((EXAMPLES / f"{role}.pem").read_text())
        life = certificate.not_valid_after_utc - NOW
        assert life == dt.timedelta(hours=hours[row.split("|")[-2].strip()])


def _title(role: str) -> str:
    return "torrent signer" if role == "signer" else role


def test_pem_blocks_are_the_example_files() -> None:
    shown = [block.text for block in in_document("certificates.md", "pem")]
    assert shown == [
        (EXAMPLES / "licence.pem").read_text(),
        (EXAMPLES / "request.csr.pem").read_text(),
    ]
    certificates.public_key_from_csr(shown[1])


def test_example_revocation_list_revokes_the_example_licence() -> None:
    revoked = RevocationList.from_der((EXAMPLES / "revoked.crl").read_bytes(), ca=CA)
    licence = certificates.load_certificate((EXAMPLES / "licence.pem").read_text())
    assert revoked.serials == {licence.serial_number}
    assert revoked.number == 42
    assert revoked.this_update == NOW


def test_example_torrents_are_of_one_swarm_and_the_customers_is_signed() -> None:
    customers = Metainfo.from_bytes((EXAMPLES / "customer.torrent").read_bytes())
    assert customers.info_hash == PUBLISHED.info_hash
    assert (PUBLISHED.announce_tiers, dict(PUBLISHED.signatures)) == ((), {})
    stamp = verify_stamp(customers, ca=CA, now=NOW, store="com.example.shop")
    (block,) = (b for b in in_document("bencode-and-torrent.md", "bencode") if "stamp" in b.words)
    assert Stamp.decode(unescaped(block.text)) == stamp
    assert stamp.licence_id == LICENCE


def test_bencode_blocks_are_canonical_or_refused_as_they_say() -> None:
    found = in_document("bencode-and-torrent.md", "bencode")
    assert len(found) == 4
    for block in found:
        if "refused" in block.words:
            for line in block.text.splitlines():
                with pytest.raises(BencodeError):
                    bencode.decode(unescaped(line))
        else:
            data = unescaped(block.text)
            assert bencode.encode(bencode.decode(data)) == data


def test_json_blocks_are_json() -> None:
    for path in PROTOCOL.glob("*.md"):
        for block in in_document(path.name, "json"):
            try:
                json.loads(block.text)
            except ValueError as error:
                raise AssertionError(f"{path.name}:{block.line}: {error}") from error


def test_problem_documents_are_read() -> None:
    found = [b for b in in_document("problem-documents.md", "json") if "problem" in b.words]
    assert found
    for block in found:
        shown: Mapping[str, object] = json.loads(block.text)
        decoded = problem.decode_problem(block.text.encode(), 599)
        assert msgspec.to_builtins(decoded) == shown
        assert decoded.type in set(problem.ProblemType)


def test_bodies_of_the_api_are_records_of_the_api() -> None:
    read = set()
    for block in in_document("licensing.md", "json"):
        first_key = next(iter(json.loads(block.text)))
        if first_key in RECORDS:
            msgspec.json.decode(block.text, type=RECORDS[first_key])
            read.add(first_key)
    assert read == set(RECORDS)


def test_the_revocation_token_example_is_a_valid_token() -> None:
    header, claims = (
        json.loads(block.text) for block in in_document("revocation-token.md", "json")
    )
    key = Ed25519PrivateKey.generate()
    compact = jwt.encode(claims, key, algorithm=header.pop("alg"), headers=header)
    token = revocation_token.verify(
        compact,
        keys={claims["iss"]: {header["kid"]: key.public_key()}},
        audience=claims["aud"],
        now=dt.datetime.fromtimestamp(claims["iat"], dt.UTC),
    )
    assert (token.purchase, token.kind) == (claims["purchase"], claims["kind"])


def test_the_payment_token_example_is_a_valid_token() -> None:
    header, claims = (json.loads(block.text) for block in in_document("payment-token.md", "json"))
    key = Ed25519PrivateKey.generate()
    (block,) = in_document("payment-token.md", "python")
    assert "run" in block.words
    names = {"jwt": jwt, "claims": claims, "ed25519_private_key": key}
    compact = eval(block.text, names)  # noqa: S307 - our own document
    assert jwt.get_unverified_header(compact) == header
    token = payment_token.verify(
        compact,
        keys={claims["iss"]: {header["kid"]: key.public_key()}},
        audience=claims["aud"],
        now=dt.datetime.fromtimestamp(claims["iat"], dt.UTC),
    )
    assert token.purchase == claims["purchase"]
    assert [item.name for item in token.items] == ["rel-0001.flac-24-96"]
