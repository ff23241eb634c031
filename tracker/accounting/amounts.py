"""What was moved by whom, summed up: the arithmetic of `offload`. Pure."""

from dataclasses import dataclass

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Amounts:
    """Bytes that customers and central seeders reported, and albums that customers completed."""

    uploaded_bytes: int = 0
    """By customers."""
    downloaded_bytes: int = 0
    """By customers."""
    central_uploaded_bytes: int = 0
    completions: int = 0

    @property
    def offload(self) -> float | None:
        """Share of the customers' download that did not come from central seeders.

        None while nothing was downloaded. Below 0 when more was sent than arrived: pieces that
        failed their hash, or announces that are still to come.
        """
        if not self.downloaded_bytes:
            return None
        return 1 - self.central_uploaded_bytes / self.downloaded_bytes

    @property
    def saved_bytes(self) -> int:
        """Bytes that central seeders did not have to send."""
        return max(0, self.downloaded_bytes - self.central_uploaded_bytes)

    def __add__(self, other: "Amounts") -> "Amounts":
        """Sum both."""
        return Amounts(
            self.uploaded_bytes + other.uploaded_bytes,
            self.downloaded_bytes + other.downloaded_bytes,
            self.central_uploaded_bytes + other.central_uploaded_bytes,
            self.completions + other.completions,
        )


def day_of(now_s: float) -> int:
    """Number of the UTC day since 1970."""
    return int(now_s) // DAY_S
