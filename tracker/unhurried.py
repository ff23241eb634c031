"""Work of a thread that must not get in the way of announces."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.002


def unhurried(items: Iterable[T], at_once: int) -> Iterator[T]:
    """Give out `items` with a pause after every `at_once`, which should be about 1 ms of work.

    A thread that writes for 0.1 s shares the core, and Python's lock, with the announces: at half
    load they came 40 ms late. Blocking; for threads.
    """
    for number, item in enumerate(items, 1):
        yield item
        if number % at_once == 0:
            time.sleep(_PAUSE_S)
