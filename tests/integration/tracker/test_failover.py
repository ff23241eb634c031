from pathlib import Path

from tests.drills.tracker_failover import drill


async def test_customers_of_a_killed_worker_find_peers_at_the_next_and_later_at_home_again(
    tmp_path: Path,
) -> None:
    report = await drill(tmp_path, swarms=10, customers=9, clients=3, kills=1)
    assert report.restored_peers == [100]
