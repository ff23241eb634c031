from pathlib import Path

import trio

from client_lib import ClientSettings, DiskFull, Finished, Stalled
from client_lib.errors import DiskFullError
from client_lib.testing import Break, FakeStore, Receive, Stall


async def test_an_hour_without_peers_is_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    store = FakeStore()
    name = store.publish(
        "rel-0001.flac-24-96",
        artist="Röda Brus",
        script=[Receive(0.5), Stall(3600), Break(DiskFullError("/music", 5_000_000, 1_000_000))],
    )
    settings = ClientSettings(data_folder=tmp_path / "device", patience_s=7200)
    async with store.open_client(settings) as client:
        licences = await client.redeem(store.token(name))
        async with client.download(licences, into=tmp_path / "music") as job:
            told = [type(event) async for event in job.events()]
            (album,) = await job.result()
    milestones = [kind for kind in told if kind in (Stalled, DiskFull, Finished)]
    assert milestones == [Stalled, DiskFull, Finished]
    assert album.seconds < 60  # since it was started again
    assert trio.current_time() > 3600
    assert (album.folder / "01 Track.flac").is_file()
