"""Programs that end with us, however we end: also by SIGKILL, when nobody is left to stop them.

Linux has PR_SET_PDEATHSIG for this; but that signal comes when the thread ends that began the
program, and trio begins programs in threads that end when they are idle.
"""

import contextlib
import subprocess
from collections.abc import AsyncIterator

import trio

_WATCHER = "read -r _; kill -KILL 0"
"""Its standard input is a pipe of ours that nobody writes to: it ends when we do."""


@contextlib.asynccontextmanager
async def open_process_group() -> AsyncIterator[int]:
    """A process group to begin programs in (`process_group=`), which ends with the block.

    A watcher, `sh`, is its first member. When its pipe to us breaks it kills the group, and itself.
    A program that was not in it yet cannot join then, and does not begin. Raises OSError.
    """
    watcher = await trio.lowlevel.open_process(
        ["sh", "-c", _WATCHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield watcher.pid
    finally:
        with trio.CancelScope(shield=True):
            assert watcher.stdin is not None  # noqa: S101 - asked for above
            await watcher.stdin.aclose()
            await watcher.wait()
