"""Pricing by the megabyte: exact rationals in, whole minor units out. Never floats."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from client_lib.wire.money import CURRENCY_PATTERN, Money

MB_BYTES = 10**6
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class PriceList:
    """Price of a megabyte (10^6 bytes) by currency, in that currency's smallest unit."""

    per_mb_minor: Mapping[str, Fraction]

    @classmethod
    def parse(cls, prices: Mapping[str, str]) -> "PriceList":
        """Read decimals as a configuration has them: `{"EUR": "2.5"}`. Raises ValueError."""
        return cls({currency: _parsed(currency, prices[currency]) for currency in sorted(prices)})

    @property
    def currencies(self) -> tuple[str, ...]:
        """Currencies in which anything can be bought."""
        return tuple(self.per_mb_minor)

    def price(self, size_bytes: int, currency: str) -> int | None:
        """⌈size in MB x price per MB⌉ in minor units, None in a currency without a price."""
        per_mb = self.per_mb_minor.get(currency)
        return None if per_mb is None else math.ceil(Fraction(size_bytes, MB_BYTES) * per_mb)

    def quote(self, size_bytes: int) -> tuple[Money, ...]:
        """The price in every currency."""
        return tuple(
            Money(math.ceil(Fraction(size_bytes, MB_BYTES) * per_mb), currency)
            for currency, per_mb in self.per_mb_minor.items()
        )


def _parsed(currency: str, text: str) -> Fraction:
    if not re.fullmatch(CURRENCY_PATTERN.strip("^$"), currency):
        raise ValueError(f"price_per_mb_minor: {currency!r} is not a currency such as EUR")
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"price_per_mb_minor: {text!r} is not a decimal such as 2.5")
    if not (price := Fraction(text)):
        raise ValueError(f"price_per_mb_minor: {currency} would be free; leave it out instead")
    return price
