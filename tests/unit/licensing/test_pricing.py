from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.money import Money
from licensing.pricing import PriceList


@pytest.mark.parametrize(
    ("per_mb", "size_bytes", "price"),
    [
        ("2", 1_000_000, 2),
        ("2", 1_000_001, 3),
        ("2", 500_000, 1),
        ("2", 1, 1),
        ("2", 0, 0),
        ("0.1", 420_000_000, 42),  # 42.000000000000004 in floats, hence 43
        ("1.15", 100_000_000, 115),
        ("0.000000001", 10**15, 1),
        ("999999999.999999999", 10**6, 10**9),
    ],
)
def test_price_is_rounded_up_once_and_exactly(per_mb: str, size_bytes: int, price: int) -> None:
    prices = PriceList.parse({"EUR": per_mb})
    assert prices.price(size_bytes, "EUR") == price
    assert prices.quote(size_bytes) == (Money(price, "EUR"),)


@given(size_bytes=st.integers(0, 10**13), thousandths=st.integers(1, 10**9))
def test_price_is_the_least_whole_amount_that_pays_for_the_size(
    size_bytes: int, thousandths: int
) -> None:
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    price = PriceList.parse({"EUR": text}).price(size_bytes, "EUR")
    assert price is not None
    exact = Fraction(size_bytes * thousandths, 10**9)
    assert price - 1 < exact <= price


def test_only_priced_currencies_buy() -> None:
    prices = PriceList.parse({"USD": "2.5", "EUR": "2"})
    assert prices.currencies == ("EUR", "USD")
    assert prices.price(10**6, "GBP") is None
    assert PriceList.parse({}).quote(10**6) == ()


@pytest.mark.parametrize(
    ("currency", "price"),
    [
        *((currency, "1") for currency in ("eur", "EURO", "", "EUR\n")),
        *(
            ("EUR", price)
            for price in ("", "-1", "1e3", ".5", "1.", "0", "0.0", "1,5", "NaN", "1/3")
        ),
    ],
)
def test_what_is_no_price_is_refused(currency: str, price: str) -> None:
    with pytest.raises(ValueError, match="price_per_mb_minor"):
        PriceList.parse({currency: price})
