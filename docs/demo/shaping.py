"""How the demo shapes its lines: loopback has no limits, so offload would mean nothing."""

SEEDER_UPLOAD_BYTES_S = 5_000_000
CUSTOMER_UPLOAD_BYTES_S = 8_000_000


def in_words() -> str:
    """What was shaped, for the output."""
    return (
        f"uploads are limited to {SEEDER_UPLOAD_BYTES_S / 1e6:.0f} MB/s (seeder) and "
        f"{CUSTOMER_UPLOAD_BYTES_S / 1e6:.0f} MB/s (each customer), downloads are not"
    )
