from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client_lib.errors import BencodeError
from client_lib.wire.bencode import Decoded, decode, encode, join_dictionary
from tests.unit.client_lib.wire.strategies import damaged, values


@given(values)
def test_decoding_undoes_encoding(value: Decoded) -> None:
    assert decode(encode(value)) == value


@given(st.one_of(st.binary(max_size=60), values.flatmap(lambda value: damaged(encode(value)))))
@example(b"d1:bi1e1:ai2ee")
def test_whatever_is_accepted_has_no_other_spelling(data: bytes) -> None:
    raw: dict[bytes, bytes] = {}
    try:
        value = decode(data, raw=raw)
    except BencodeError:
        return
    assert encode(value) == data
    entries = value if isinstance(value, dict) else {}
    assert raw == {key: encode(each) for key, each in entries.items()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i",
        b"ie",
        b"i-e",
        b"i-0e",
        b"i00e",
        b"i01e",
        b"i-01e",
        b"i+1e",
        b"i 1e",
        b"i1_0e",
        b"i1.0e",
        b"i9223372036854775808e",
        b"i-9223372036854775808e",
        b"i" + b"9" * 100_000 + b"e",
        "i\uff11e".encode(),
        b"1",
        b"1:",
        b"01:a",
        b"-1:a",
        b"2:a",
        b"9999999999:a",
        b"1" * 100_000 + b":a",
        b"l",
        b"e",
        b"le1:a",
        b"lee",
        b"d",
        b"d1:ae",
        b"d1:a",
        b"di1ei1ee",
        b"dlei1ee",
        b"d1:bi1e1:ai1ee",
        b"d1:ai1e1:ai1ee",
        b"d1:ai1e0:i1ee",
        b"x",
        b"i1e\n",
        b" i1e",
    ],
)
def test_anything_but_one_canonical_value_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data)


@pytest.mark.parametrize("number", [-(1 << 63) + 1, (1 << 63) - 1, 0, -1])
def test_signed_64_bit_integers_pass(number: int) -> None:
    assert decode(b"i%de" % number) == number


def test_nesting_is_bounded_without_recursion() -> None:
    assert decode(b"l" * 64 + b"e" * 64) is not None
    with pytest.raises(BencodeError, match="nested deeper than 64"):
        decode(b"l" * 65 + b"e" * 65)
    with pytest.raises(BencodeError, match="nested deeper"):
        decode(b"d1:a" * 4_000_000)
    # A caller may allow more than the interpreter could recurse.
    decode(b"l" * 200_000 + b"e" * 200_000, max_depth=200_000)


def test_size_and_number_of_values_are_bounded() -> None:
    with pytest.raises(BencodeError, match="at most 10"):
        decode(b"8:12345678e", max_bytes=10)
    assert decode(b"8:12345678", max_bytes=10) == b"12345678"
    with pytest.raises(BencodeError, match="more than 3 keys and values"):
        decode(b"d1:ai1e1:bi2ee", max_values=3)
    with pytest.raises(BencodeError, match="keys and values"):
        decode(b"l" + b"de" * 2_000_000 + b"e")


@pytest.mark.parametrize("value", [True, "text", None, 1.5, {"key": 1}, [True], {b"a": "text"}])
def test_values_that_bencoding_has_not_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)  # type: ignore[arg-type]


def test_encoding_is_bounded_too() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(BencodeError, match="nested deeper"):
        encode(endless)
    with pytest.raises(BencodeError, match="64 bits"):
        encode(1 << 63)


@given(st.dictionaries(st.binary(max_size=6), values, max_size=5))
def test_joining_encoded_values_equals_encoding_them(value: dict[bytes, Decoded]) -> None:
    assert join_dictionary({key: encode(item) for key, item in value.items()}) == encode(value)
