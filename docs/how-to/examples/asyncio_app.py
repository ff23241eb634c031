import asyncio
import contextlib
import sys
from pathlib import Path

from client_lib import ClientSettings, Finished, blocking


async def fetch(settings: ClientSettings, payment_token: str, music: Path) -> tuple[Finished, ...]:
    """Download what the token buys. Cancelling the task stops it and keeps what is there."""
    blocks = contextlib.ExitStack()
    client = await asyncio.to_thread(blocks.enter_context, blocking.open_client(settings))
    try:
        licences = await asyncio.to_thread(client.redeem, payment_token)
        download = client.download(licences, into=music)
        job = await asyncio.to_thread(blocks.enter_context, download)
        events = job.events()
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            print(event)
        return await asyncio.to_thread(job.result)
    finally:
        client.close()  # ends the call that a cancelled task has left in its thread
        await asyncio.to_thread(blocks.close)


async def main(licensing_url: str, licensing_ca: str, payment_token: str) -> None:
    settings = ClientSettings(Path("device"), licensing_url, Path(licensing_ca).read_text())
    for album in await fetch(settings, payment_token, Path("music")):
        print(album.folder)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
