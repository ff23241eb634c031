"""What tests of embedders do with the fake beyond the contract: scripts, time, credit, outages."""

from pathlib import Path

import pytest
import trio

from client_lib import (
    ClientSettings,
    DiskFull,
    Event,
    Failed,
    LicenceState,
    Progress,
    Stalled,
    StallReason,
)
from client_lib.errors import (
    DiskFullError,
    DownloadError,
    IdentifierError,
    LicenceRevoked,
    LicensingRefused,
    UnreachableError,
    UsageError,
)
from client_lib.testing import Break, FakeStore, Receive, Stall

NAME = "rel-0001.flac-24-96"


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    return ClientSettings(data_folder=tmp_path / "data")


async def test_a_script_is_followed_step_by_step_and_time_flies(
    autojump_clock: trio.testing.MockClock, settings: ClientSettings, tmp_path: Path
) -> None:
    store = FakeStore(rate_bytes_s=1_000_000)
    script = (
        Receive(0.25),
        Stall(20, StallReason.TRACKER_AWAY, "the tracker sleeps"),
        Break(DiskFullError("/music", 2, 1)),
        Receive(0.75),
        Break(DownloadError("cut")),
    )
    name = store.publish(NAME, files={"a.flac": 8_000_000}, script=script)
    events: list[Event] = []
    async with store.open_client(settings) as client:
        (licence,) = await client.redeem(store.token(name))
        async with client.download([licence], into=tmp_path) as job:
            async for event in job.events():
                events.append(event)
                if isinstance(event, Failed):
                    assert 2 + 20 + 4 <= trio.current_time() <= 2 + 20 + 4 + 2  # waiting for room
            await trio.sleep(3600)
        async with client.download([licence], into=tmp_path) as job:
            (end,) = await job.result()
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds[2:] == [Stalled, DiskFull, *kinds[4:-1], Failed]
    (stalled,) = [event for event in events if isinstance(event, Stalled)]
    assert (stalled.reason, stalled.detail) == (StallReason.TRACKER_AWAY, "the tracker sleeps")
    assert end.seconds == pytest.approx(2)
    assert autojump_clock.current_time() > 3600


async def test_patience_ends_a_stall(
    autojump_clock: trio.testing.MockClock, settings: ClientSettings, tmp_path: Path
) -> None:
    store = FakeStore(rate_bytes_s=0)
    async with store.open_client(settings) as client:
        licences = await client.redeem(store.token(store.publish(NAME)))
        async with client.download(licences, into=tmp_path) as job:
            with pytest.raises(DownloadError, match="nothing arrived for 600 s"):
                await job.result()
    assert trio.current_time() == pytest.approx(600, abs=2)


async def test_limits_and_revocation_act_at_once(
    autojump_clock: trio.testing.MockClock, settings: ClientSettings, tmp_path: Path
) -> None:
    store = FakeStore(rate_bytes_s=1_000_000)
    async with store.open_client(settings) as client:
        (licence,) = await client.redeem(store.token(store.publish(NAME)))
        async with client.download([licence], into=tmp_path) as job:
            job.set_limits(down_bytes_s=1_000)
            await trio.sleep(100)
            async for event in job.events():
                if isinstance(event, Progress):
                    assert event.verified_bytes < 200_000
                    break
            store.revoke(licence)
            with pytest.raises(LicenceRevoked):
                await job.result()
        assert (await client.licences())[0].state is LicenceState.REVOKED


async def test_tokens_are_spent_once_and_credit_buys(
    settings: ClientSettings, tmp_path: Path
) -> None:
    store = FakeStore()
    name = store.publish(NAME, prices={"EUR": 400})
    other = ClientSettings(data_folder=tmp_path / "other")
    async with store.open_client(settings) as client, store.open_client(other) as second:
        credit = store.credit_token(1_000, "EUR")
        assert await client.redeem(credit) == await client.redeem(credit) == ()
        with pytest.raises(LicensingRefused, match="another device"):
            await second.redeem(credit)
        (balance,) = await client.balances()
        assert balance.balance_minor == 1_000
        (licence,) = await client.redeem(store.token(name))
        (format_,) = (await client.quote(licence.release_id)).formats
        assert [str(price) for price in format_.prices] == ["4.00 EUR"]
        assert (await client.buy(name, "EUR")).already_owned
        bought = await second.buy(name, "EUR")
        assert (bought.charged_minor, bought.balance_minor) == (400, 600)
        for currency in ("USD", "EUR"):
            dear = store.publish("rel-0002.flac", prices={"EUR": 601})
            with pytest.raises(LicensingRefused):
                await second.buy(dear, currency)
        store.away = True
        assert len(await client.licences()) == 1
        with pytest.raises(UnreachableError):
            await client.balances()
        with pytest.raises(UnreachableError):
            await second.redeem(credit)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Receive(1.5)
    with pytest.raises(IdentifierError):
        FakeStore().publish("Not A Name")
    with pytest.raises(UsageError, match="publish it first"):
        FakeStore().token("rel-0009.flac")  # type: ignore[arg-type]
