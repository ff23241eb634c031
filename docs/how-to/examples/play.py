import sys
from pathlib import Path

import trio

from client_lib import ClientSettings, open_client


async def main(licensing_url: str, licensing_ca: str, payment_token: str) -> None:
    settings = ClientSettings(Path("device"), licensing_url, Path(licensing_ca).read_text())
    async with open_client(settings) as client:
        licences = await client.redeem(payment_token)
        async with client.download(licences, into=Path("music")) as job:
            async with await job.open_track(licences[0].licence_id, "1") as stream:
                await stream.seek(stream.size_bytes // 2)
                async for some_bytes in stream:
                    print(stream.tell(), len(some_bytes))
            for album in await job.result():
                print(album.folder)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
