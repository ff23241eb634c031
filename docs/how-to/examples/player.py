import sys
from pathlib import Path

import trio

from client_lib import AlbumswarmError, ClientSettings, Event, Finished, Progress, open_client


def describe(event: Event) -> str:
    match event:
        case Progress(name=name, verified_bytes=done, total_bytes=total, eta_s=eta_s):
            return f"{name}: {done / total:.0%}, {'?' if eta_s is None else round(eta_s)} s left"
        case Finished(name=name, folder=folder, already_there=already_there):
            return f"{name}: {'was' if already_there else 'is now'} in {folder}"
    return str(event)


async def main(licensing_url: str, licensing_ca: str, payment_token: str) -> int:
    settings = ClientSettings(Path("device"), licensing_url, Path(licensing_ca).read_text())
    async with open_client(settings) as client:
        licences = await client.redeem(payment_token)
        async with client.download(licences, into=Path("music")) as job:
            async for event in job.events():
                print(describe(event))
                if isinstance(event, Progress) and event.connected_peers > 50:
                    job.set_limits(up_bytes_s=1_000_000)
            summary = job.summary()
        for failed in summary.failed:
            print(failed.name, failed.error, file=sys.stderr)
        return summary.exit_code


if __name__ == "__main__":
    try:
        sys.exit(trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3]))
    except AlbumswarmError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
