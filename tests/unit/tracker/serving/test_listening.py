import ipaddress

import pytest

from tracker.serving.listening import packed_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_peer_s_address_is_the_one_that_others_can_use(host: str, address: str) -> None:
    assert packed_address(host) == ipaddress.ip_address(address).packed
