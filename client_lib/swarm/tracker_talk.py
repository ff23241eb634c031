"""What trackers say to one torrent, and whether an answer is still awaited."""

from dataclasses import dataclass

import libtorrent as lt

from client_lib.wire.conventions import NO_SOURCE


@dataclass(frozen=True, slots=True)
class TrackerReport:
    """Latest word of one tracker: peers it gave, or why it did not."""

    url: str
    peers: int
    refused: bool
    """It will not have us. That a swarm has no source yet is no refusal."""
    message: str


class TrackerTalk:
    """Reports by URL, and announces that are under way.

    A torrent must stay in the session while one is: of four runs with 200 small albums, two ended
    in SIGSEGV or `ssl ctx has no default ssl version`, and none since. libtorrent 2.1.1 goes by
    these signs on using the torrent's TLS context for the tracker when the torrent has gone.
    """

    def __init__(self) -> None:
        """Nothing was said."""
        self.reports: dict[str, TrackerReport] = {}
        self.under_way = 0

    def on_alert(self, alert: lt.alert) -> bool:
        """Take over what an alert says; tells whether it was a tracker's."""
        match alert:
            case lt.tracker_announce_alert():
                self.under_way += 1
            case lt.tracker_reply_alert():
                self._answered(TrackerReport(alert.tracker_url(), alert.num_peers, False, ""))
            case lt.tracker_error_alert():
                reason = alert.failure_reason()
                refused = bool(reason) and not reason.startswith(NO_SOURCE)
                message = reason or alert.error.message()
                self._answered(TrackerReport(alert.tracker_url(), 0, refused, message))
            case _:
                return False
        return True

    def _answered(self, report: TrackerReport) -> None:
        self.under_way = max(0, self.under_way - 1)
        self.reports[report.url] = report
