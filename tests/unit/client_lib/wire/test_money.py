import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.money import Money, money_text
from client_lib.wire.rights import RightsField, RightsHolder, require_whole


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234, "EUR", "12.34 EUR"),
        (5, "EUR", "0.05 EUR"),
        (0, "USD", "0.00 USD"),
        (-5, "EUR", "-0.05 EUR"),
        (-1234, "EUR", "-12.34 EUR"),
        (500, "JPY", "500 JPY"),
        (-1, "JPY", "-1 JPY"),
        (1234, "KWD", "1.234 KWD"),
    ],
)
def test_amounts_are_written_with_the_currencys_decimals(
    amount: int, currency: str, text: str
) -> None:
    assert money_text(amount, currency) == text
    assert amount < 0 or str(Money(amount, currency)) == text


@given(st.integers(-(10**15), 10**15), st.sampled_from(("EUR", "JPY", "KWD")))
def test_no_digit_is_lost(amount: int, currency: str) -> None:
    assert int(money_text(amount, currency).removesuffix(f" {currency}").replace(".", "")) == amount


@pytest.mark.parametrize(
    ("rights", "message"),
    [
        ((RightsHolder("a", 9_999),), "9999"),
        ((RightsHolder("a", 9_999), RightsHolder("b", 2)), "10001"),
        ((RightsHolder("a", 5_000), RightsHolder("a", 5_000)), "twice"),
    ],
)
def test_rights_that_are_not_whole_are_refused(
    rights: tuple[RightsHolder, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        require_whole(rights)


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '[{"name": "", "share_bp": 10000}]',
        '[{"name": "a\\n", "share_bp": 10000}]',
        '[{"name": "a", "share_bp": 0}]',
        '[{"name": "a", "share_bp": -1}]',
        '[{"name": "a", "share_bp": 10001}]',
        '[{"name": "a", "share_bp": 1.5}]',
        '[{"name": "a", "share": 10000}]',
    ],
)
def test_holders_of_the_wrong_shape_are_refused(body: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=RightsField)
