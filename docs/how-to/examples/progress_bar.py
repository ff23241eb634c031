import sys
from pathlib import Path

from client_lib import ClientSettings, Progress, blocking

WIDTH = 40


def bar(event: Progress) -> str:
    filled = WIDTH * event.verified_bytes // event.total_bytes
    rate = event.download_rate_bytes_s / 1e6
    return f"{event.name} [{'#' * filled:-<{WIDTH}}] {rate:.1f} MB/s"


def main(licensing_url: str, licensing_ca: str, payment_token: str) -> None:
    settings = ClientSettings(Path("device"), licensing_url, Path(licensing_ca).read_text())
    with blocking.open_client(settings) as client:
        licences = client.redeem(payment_token)
        with client.download(licences, into=Path("music")) as job:
            for event in job.events():
                if isinstance(event, Progress):
                    print(bar(event), end="\r", flush=True)
            print("", *(f"{album.name}: {album.folder}" for album in job.result()), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
