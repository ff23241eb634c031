"""Who waits for a store's keys, and who does not."""

from collections.abc import Mapping

import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from client_lib.errors import PaymentTokenError
from client_lib.wire.problem import ProblemType
from licensing.issuers import MOST_WAITING, IssuerKeys, Issuers
from licensing.refusal import Refusal
from tests.patience import PATIENCE_S


class SlowStore:
    """A store that takes its time over its keys."""

    def __init__(self) -> None:
        self.keys: Mapping[str, Ed25519PublicKey] = {
            "old": Ed25519PrivateKey.generate().public_key()
        }
        self.asked, self.answers = trio.Event(), trio.Event()

    async def refresh(self, *, wanted: bool) -> None:
        assert wanted
        self.asked.set()
        await self.answers.wait()


def unknown(keys: IssuerKeys) -> None:
    raise PaymentTokenError("key", "the payment token has a kid that is no key of its store")


async def test_only_so_many_wait_for_a_store_that_is_slow() -> None:
    store = SlowStore()
    issuers = Issuers({"shop": (store,)})
    told: list[ProblemType | str] = []

    async def redeem() -> None:
        try:
            await issuers.verified(unknown)
        except Refusal as refusal:
            told.append(refusal.problem_type)
        except PaymentTokenError as error:
            told.append(error.reason)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(redeem)
            await store.asked.wait()
            for _ in range(MOST_WAITING + 100):
                nursery.start_soon(redeem)
            await trio.testing.wait_all_tasks_blocked()
            assert told == [ProblemType.NOT_READY] * 100
            store.answers.set()
    assert told[100:] == ["key"] * (MOST_WAITING + 1)
