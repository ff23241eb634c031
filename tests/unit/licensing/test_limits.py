import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensing.http.access import Limits
from licensing.limits import LimitsConfig, TokenBuckets, asker_key, client_host

PROXIES = LimitsConfig(trusted_proxies=("10.0.0.0/8", "::1", "2001:db8::/32")).proxies


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(2.0, 5, clock=clock)
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") == 0.5
    assert buckets.take("b") == 0.0
    clock.now += 0.5
    assert (buckets.take("a"), buckets.take("a")) == (0.0, 0.5)
    clock.now += 1_000
    assert [buckets.take("a") > 0 for _ in range(6)] == [False] * 5 + [True]


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from("abc")), max_size=200))
def test_nobody_gets_more_than_burst_and_rate_allow(steps: list[tuple[float, str]]) -> None:
    clock = Clock()
    buckets = TokenBuckets(0.7, 4, clock=clock)
    taken = dict.fromkeys("abc", 0)
    for pause, key in steps:
        clock.now += pause
        wait_s = buckets.take(key)
        assert wait_s <= 1 / 0.7 + 1e-9
        taken[key] += wait_s == 0.0
        assert taken[key] <= 4 + 0.7 * clock.now + 1e-6


def test_memory_is_bounded_and_forgets_who_was_seen_longest_ago() -> None:
    buckets = TokenBuckets(0.001, 1, clock=Clock(), known=10)
    for number in range(1_000):
        assert buckets.take(number) == 0.0
        assert buckets.take("regular") == 0.0 or number > 0
    assert len(buckets) <= 10
    assert buckets.wait_s(999) > 0
    assert buckets.wait_s(1) == 0.0


def test_ipv6_networks_count_as_one_asker() -> None:
    assert asker_key("2001:db8:1:2::1") == asker_key("2001:db8:1:2:ffff::9%eth0")
    assert asker_key("2001:db8:1:2::1") != asker_key("2001:db8:1:3::1")
    assert asker_key("::ffff:192.0.2.7") == asker_key("192.0.2.7") == "192.0.2.7"
    assert asker_key("192.0.2.7") != asker_key("192.0.2.8")
    assert len(asker_key("x" * 10_000)) <= 64


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # not our proxy: its word counts nothing
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the left part is the client's
        ("10.1.2.3", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("::1", "198.51.100.1,2001:db8::5", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "nonsense", "nonsense"),
    ],
)
def test_address_behind_a_proxy(peer: str, forwarded: str, expected: str) -> None:
    assert client_host(peer, forwarded, PROXIES) == expected
    assert client_host(peer, forwarded, ()) == peer


def test_wrong_network_is_told() -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        LimitsConfig(trusted_proxies=("nonsense",))


@given(st.ip_addresses())
def test_every_address_has_a_key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert asker_key(str(address))


def test_failures_are_limited_harder_and_a_proven_device_is_spared_its_neighbours() -> None:
    clock = Clock()
    limits = Limits(LimitsConfig(failures_burst=3, failures_per_s=0.1), clock=clock)
    customer, stranger = b"customer", b"stranger"
    assert limits.refusal("nat", customer) is None
    limits.learn("nat", customer, "POST", 201)
    for _ in range(3):
        assert limits.refusal("nat", stranger) is None
        limits.learn("nat", stranger, "POST", 401)
    refused = limits.refusal("nat", stranger)
    assert refused is not None
    assert refused[0] == "failures"
    assert refused[1] == pytest.approx(10.0)
    assert limits.refusal("nat", None) is not None
    assert limits.refusal("nat", customer) is None
    assert limits.refusal("elsewhere", stranger) is None
    for _ in range(3):  # but a customer who guesses answers for it alone
        limits.learn("nat", customer, "POST", 422)
    assert limits.refusal("nat", customer) is not None
    clock.now += 10
    assert limits.refusal("nat", stranger) is None
