import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.planning import GOODPUT, Store, needed_bytes_s, plan

MB = 1e6
STORES = st.builds(
    Store,
    purchases_per_day=st.floats(0.1, 1e5),
    album_bytes=st.floats(1e6, 2e9),
    rate_bytes_s=st.floats(5e4, 1e7),
    upload_bytes_s=st.floats(0, 1e7),
    seeding_s=st.floats(0, 1e5),
    peak=st.floats(1, 10),
    releases=st.integers(1, 300),
    zipf=st.floats(0, 2),
    line_bytes_s=st.floats(1e6, 1e9),
    price_per_gb=st.floats(0, 1),
)


@settings(deadline=None, max_examples=30)
@given(STORES)
def test_seeders_never_send_more_than_is_bought_and_the_parts_add_up(store: Store) -> None:
    found = plan(store)
    bought = store.purchases_per_day * 30 * store.album_bytes / 1e9
    assert -1e-6 <= found.offload <= 1
    assert -1e-6 <= found.offload_at_peak <= 1
    assert found.delivered_gb == pytest.approx(bought)
    assert found.seeder_gb == pytest.approx(bought * (1 - found.offload), abs=1e-6)
    assert found.cost <= found.cost_without_swarm * (1 + 1e-6)
    assert found.seeder_bytes_s <= found.laid_out_bytes_s
    # One of the nodes may be away, and the rest still carries it.
    assert (found.nodes - 1) * GOODPUT * store.line_bytes_s >= found.laid_out_bytes_s * (1 - 1e-9)
    assert found.nodes >= 2


@settings(deadline=None, max_examples=30)
@given(STORES, st.floats(1.1, 5))
def test_generous_customers_save_and_hurry_costs(store: Store, factor: float) -> None:
    usual = plan(store).seeder_bytes_s
    upload, stay = store.upload_bytes_s * factor, store.seeding_s * factor
    tolerance = 1e-6 * max(1.0, usual)
    for more in (_but(store, upload_bytes_s=upload), _but(store, seeding_s=stay)):
        assert plan(more).seeder_bytes_s <= usual + tolerance


def _but(store: Store, **changes: float) -> Store:
    fields = {name: getattr(store, name) for name in store.__struct_fields__}
    return Store(**(fields | changes))


def test_without_uploads_seeders_send_everything() -> None:
    found = plan(Store(purchases_per_day=500, upload_bytes_s=0, zipf=0, price_per_gb=0.5))
    assert found.offload == pytest.approx(0, abs=1e-3)
    assert found.cost == pytest.approx(found.cost_without_swarm, rel=1e-3)
    assert found.cost_without_swarm == pytest.approx(500 * 30 * 0.4 * 0.5)


def test_one_release_that_everybody_wants_costs_about_a_copy_at_a_time() -> None:
    store = Store(purchases_per_day=20_000, releases=1, rate_bytes_s=0.6 * MB, seeding_s=0)
    assert plan(store).seeder_bytes_s == pytest.approx(0.6 * MB)
    assert plan(store).offload > 0.99


def test_the_flash_crowd_of_the_benchmark_is_the_bound_of_kumar_and_ross() -> None:
    # 8 leechers of 8 Mbit/s and a seeder of 16 Mbit/s: N·F/(u_s + Σu) for 64 MB is 53.7 s at line
    # rate, which is 1.25 MB/s for each; then the seeder's 2 MB/s are what it has to add.
    rate = (2 * MB + 8 * MB) / 8
    assert needed_bytes_s(8, 0, rate, MB) == pytest.approx(2 * MB)
    assert pytest.approx(67_108_864 / rate) == 8 * 67_108_864 / (2 * MB + 8 * MB)


def test_a_lone_customer_s_own_upload_helps_nobody() -> None:
    assert needed_bytes_s(1, 0, MB, 10 * MB) == MB
    assert needed_bytes_s(1, 1, MB, 0.4 * MB) == pytest.approx(0.6 * MB)
    assert needed_bytes_s(0, 5, MB, MB) == 0


def test_chance_is_summed_whole() -> None:
    evenly = plan(Store(purchases_per_day=1_000, zipf=0, releases=100, upload_bytes_s=0, peak=1))
    assert evenly.seeder_bytes_s == pytest.approx(evenly.demand_bytes_s, rel=1e-6)
    assert math.isfinite(evenly.laid_out_bytes_s)
