import pytest

from client_lib.wire.problem import ProblemType
from licensing.purchases import parse_idempotency_key
from licensing.refusal import Refusal


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("k", "k"),
        ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (r'"a\"b\\c"', r'a"b\c'),
        (" k ", "k"),
        ("~" * 64, "~" * 64),
        ('"' + "~" * 64 + '"', "~" * 64),
    ],
)
def test_bare_and_quoted_keys_are_read(field: str, key: str) -> None:
    assert parse_idempotency_key([field]) == key


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [""],
        ['""'],
        ["a", "a"],
        ["two words"],
        ["ключ"],
        ["k\x7f"],
        ["x" * 65],
        ['"' + "x" * 65 + '"'],
        ['"open'],
        ['"a"b"'],
        [r'"\n"'],
        ['"a" ;x'],
    ],
)
def test_other_keys_are_refused(fields: list[str]) -> None:
    with pytest.raises(Refusal) as caught:
        parse_idempotency_key(fields)
    assert caught.value.problem_type is ProblemType.IDEMPOTENCY_KEY_REFUSED
