"""The client with a store and a swarm in memory, for the tests of programs that embed it.

    async def test_shows_a_stall(autojump_clock):
        store = FakeStore()
        name = store.publish("rel-0001.flac-16-44", script=[Receive(0.5), Stall(60)])
        async with store.open_client(ClientSettings(data_folder=tmp_path)) as client:
            licences = await client.redeem(store.token(name))
            async with client.download(licences, into=tmp_path / "music") as job:
                async for event in job.events():
                    ...

`FakeStore.open_client` stands in for `client_lib.open_client`; what it gives *is* a
`client_lib.Client`, with the real queue, events, pauses and summaries, and passes the same
contract tests. There is no network, no thread and no service. Albums arrive at
`FakeStore.rate_bytes_s`, interrupted as their script says. Time is trio's, so with
`trio.testing.MockClock` (pytest-trio's `autojump_clock`) hours take no time. Complete albums are
real folders with sparse files of zeros. `client_lib.blocking.open_client` takes it as `opened_by`.

Importing this package loads neither pytest nor libtorrent; the first client loads libtorrent.
"""

from client_lib.testing.script import Break, Receive, Stall, Step
from client_lib.testing.store import FakeStore

__all__ = ["Break", "FakeStore", "Receive", "Stall", "Step"]
