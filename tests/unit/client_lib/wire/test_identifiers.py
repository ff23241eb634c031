"""Release names, licence ids, device secrets, info-hashes and problem documents."""

import hashlib
import traceback
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import IdentifierError
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import (
    DeviceSecret,
    LicenceIdField,
    licence_id_from,
    parse_licence_id,
)
from client_lib.wire.licensing_api import Sha256Hex
from client_lib.wire.problem import Problem, ProblemType, decode_problem, encode_problem
from client_lib.wire.release import (
    AudioFormatField,
    ReleaseIdField,
    TorrentNameField,
    parse_audio_format,
    parse_release_id,
    parse_torrent_name,
    split_torrent_name,
    torrent_name,
)

release_ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}", fullmatch=True).map(parse_release_id)
formats = st.from_regex(r"[a-z0-9-]{1,15}", fullmatch=True).map(parse_audio_format)
secrets = st.binary(min_size=32, max_size=32).map(DeviceSecret)


@given(release_ids, formats)
def test_torrent_name_comes_apart_again(release_id: str, audio_format: str) -> None:
    name = torrent_name(parse_release_id(release_id), parse_audio_format(audio_format))
    assert split_torrent_name(parse_torrent_name(name)) == (release_id, audio_format)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_release_id, ""),
        (parse_release_id, "-x"),
        (parse_release_id, "a" * 49),
        (parse_release_id, "a\n"),
        (parse_release_id, "A"),
        (parse_release_id, "a.b"),
        (parse_audio_format, ""),
        (parse_audio_format, "f" * 16),
        (parse_audio_format, "flac\n"),
        (parse_torrent_name, "a"),
        (parse_torrent_name, "a.b.c"),
        (parse_torrent_name, "../a.flac"),
        (parse_torrent_name, "*"),
        (parse_torrent_name, "a.flac\n"),
        (parse_torrent_name, "a.flac\x00"),
        (parse_torrent_name, "é.flac"),
        (parse_licence_id, "a" * 25),
        (parse_licence_id, "a" * 26 + "\n"),
        (parse_licence_id, "A" * 26),
        (parse_licence_id, "1" * 26),
        (InfoHash.from_hex, "0" * 63),
        (InfoHash.from_hex, "A" * 64),
        (InfoHash.from_hex, "٣" * 64),
        (InfoHash.from_btmh, "0" * 68),
        (InfoHash.from_btmh, "1220" + "0" * 63),
    ],
)
def test_identifier_of_the_wrong_shape_is_refused(
    parse: Callable[[str], object], text: str
) -> None:
    with pytest.raises(IdentifierError):
        parse(text)


@given(st.binary(min_size=16, max_size=16))
def test_licence_id_carries_128_bits(random_bytes: bytes) -> None:
    licence_id = licence_id_from(random_bytes)
    assert parse_licence_id(licence_id) == licence_id
    assert licence_id_from(bytes([random_bytes[0] ^ 1]) + random_bytes[1:]) != licence_id


def test_licence_id_of_too_few_bits_is_refused() -> None:
    with pytest.raises(IdentifierError):
        licence_id_from(b"short")


@given(st.binary())
def test_info_hash_survives_each_of_its_forms(info: bytes) -> None:
    info_hash = InfoHash.of(info)
    assert info_hash.sha256 == hashlib.sha256(info).digest()
    assert InfoHash.from_hex(info_hash.hex) == InfoHash.from_btmh(info_hash.btmh) == info_hash
    assert info_hash.truncated == info_hash.sha256[:20]


@given(secrets)
def test_device_secret_comes_back_from_its_bearer(secret: DeviceSecret) -> None:
    assert DeviceSecret.from_bearer(secret.bearer) == secret
    assert secret.device_id == hashlib.sha256(secret.value).hexdigest()


@given(secrets)
def test_device_secret_never_prints(secret: DeviceSecret) -> None:
    shown = f"{secret} {secret!r} {[secret]} {secret!s:>40}"
    assert "DeviceSecret(…)" in shown
    assert secret.bearer not in shown
    assert repr(secret.value) not in shown


@pytest.mark.parametrize("text", ["hunter2", "a" * 42, "a" * 44, "a" * 42 + "=", "é" * 43])
def test_wrong_bearer_is_not_repeated(text: str) -> None:
    with pytest.raises(IdentifierError) as refused:
        DeviceSecret.from_bearer(text)
    assert text not in "".join(traceback.format_exception_only(refused.value))


def test_short_device_secret_is_refused() -> None:
    with pytest.raises(IdentifierError):
        DeviceSecret(bytes(31))


@given(st.sampled_from(ProblemType), st.text(max_size=200), st.integers(400, 599))
def test_problem_document_is_read_back(type_: ProblemType, text: str, status: int) -> None:
    problem = Problem(type=type_, title=text, status=status, detail=text)
    assert decode_problem(encode_problem(problem), status) == problem


def test_unknown_members_of_a_problem_are_ignored() -> None:
    body = b'{"type": "t", "title": "T", "status": 409, "detail": "d", "instance": "/x", "y": [1]}'
    assert decode_problem(body, 409) == Problem(type="t", title="T", status=409, detail="d")


@given(st.binary(max_size=100) | st.sampled_from([b"{}", b"[]", b'{"type": 1}', b"<html>"]))
def test_answer_that_is_no_problem_document_keeps_its_status(body: bytes) -> None:
    assert decode_problem(body, 502) == Problem(type="about:blank", title="HTTP error", status=502)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (ReleaseIdField, "rel-1"),
        (AudioFormatField, "flac"),
        (TorrentNameField, "rel-1.flac"),
        (LicenceIdField, "a" * 26),
        (Sha256Hex, "0" * 64),
    ],
)
def test_identifier_in_a_body_has_no_trailing_newline(type_: object, text: str) -> None:
    assert msgspec.convert(text, type_) == text
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text + "\n", type_)
