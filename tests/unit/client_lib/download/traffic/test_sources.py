"""Where bytes came from: both counts add up to the total and never go back."""

from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.traffic.sources import BySource, SourceSplit
from client_lib.swarm.status import PeerStatus


def peer(
    seeder: bool, downloaded: int, rate: int = 0, *, port: int = 1, web_seed: bool = False
) -> PeerStatus:
    return PeerStatus(
        address="127.0.0.1",
        port=port,
        central_seeder=seeder,
        complete=seeder,
        called=True,
        downloaded_bytes=downloaded,
        uploaded_bytes=0,
        download_rate_bytes_s=rate,
        upload_rate_bytes_s=0,
        web_seed=web_seed,
    )


snapshots = st.lists(
    st.tuples(
        st.lists(
            st.builds(
                peer,
                st.booleans(),
                st.integers(0, 10**9),
                st.integers(0, 10**6),
                port=st.integers(1, 5),
                web_seed=st.booleans(),
            ),
            max_size=5,
            unique_by=lambda status: status.port,
        ),
        st.integers(0, 10**8),
    ),
    max_size=12,
)


@given(snapshots)
def test_counts_add_up_to_the_total_and_never_decrease(
    history: list[tuple[list[PeerStatus], int]],
) -> None:
    split, total, before = SourceSplit(), 0, BySource()
    for peers, more in history:
        total += more
        now = split.update(peers, total)
        assert sum(now) == total
        assert all(after >= count for after, count in zip(now, before, strict=True))
        before = now


def test_bytes_are_counted_where_they_came_from() -> None:
    split = SourceSplit()
    assert split.update([peer(True, 70, port=1), peer(False, 30, port=2)], 100) == (70, 30, 0)
    assert split.update([peer(True, 70, port=1), peer(False, 130, port=2)], 200) == (70, 130, 0)


def test_peer_that_left_between_snapshots_is_estimated_by_the_rates() -> None:
    split = SourceSplit()
    split.update([peer(True, 10, 1, port=1), peer(False, 30, 3, port=2)], 40)
    assert split.update([], 80) == (20, 60, 0)


def test_new_connection_from_a_known_port_counts_from_its_start() -> None:
    split = SourceSplit()
    split.update([peer(True, 100, 10, port=1)], 100)
    # The same port again: a customer whose connection broke sends 40 of the 40 new bytes.
    assert split.update([peer(False, 40, 0, port=1)], 140) == (100, 40, 0)
