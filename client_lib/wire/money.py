"""Money: whole minor units of a currency (ISO 4217), and how a person reads them. Never floats."""

from typing import Annotated

import msgspec

MAX_AMOUNT_MINOR = 10**12
CURRENCY_PATTERN = r"^[A-Z]{3}(?!\n)$"

AmountField = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT_MINOR)]
CurrencyField = Annotated[str, msgspec.Meta(pattern=CURRENCY_PATTERN)]

_WITHOUT_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_WITH_THREE = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


class Money(msgspec.Struct, frozen=True):
    """An amount in the currency's smallest unit."""

    amount_minor: Annotated[int, msgspec.Meta(ge=0)]
    currency: CurrencyField

    def __str__(self) -> str:
        """As a person reads it: `12.34 EUR`."""
        return money_text(self.amount_minor, self.currency)


def money_text(amount_minor: int, currency: str) -> str:
    """Write an amount with its decimals (ISO 4217: mostly two): `-12.34 EUR`, `500 JPY`."""
    decimals = 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _WITH_THREE else 2
    digits = f"{abs(amount_minor):0{decimals + 1}d}"
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}{'.' + part if part else ''} {currency}"
