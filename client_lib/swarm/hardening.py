"""libtorrent's settings, hardened: sealed swarms only, no discovery beside our tracker."""

import libtorrent as lt

from client_lib.swarm.settings import SessionSettings
from client_lib.wire.conventions import PEER_ID_CUSTOMER

# ffdhe2048 (RFC 7919, appendix A.1). libtorrent wants DH parameters beside every certificate; a
# constant, because `cryptography` deprecates finite-field DH and TLS 1.3 on P-256 never uses them.
FFDHE2048_PEM = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


def settings_pack(settings: SessionSettings) -> "lt.settings_pack":
    """libtorrent's settings for ours."""
    # The `s` suffix alone: a socket that speaks TLS and nothing else.
    if settings.listen_host is None:
        listen = f"0.0.0.0:{settings.listen_port}s,[::]:{settings.listen_port}s"
    elif ":" in settings.listen_host:
        listen = f"[{settings.listen_host}]:{settings.listen_port}s"
    else:
        listen = f"{settings.listen_host}:{settings.listen_port}s"
    categories = lt.alert.category_t
    return {
        "listen_interfaces": listen,
        "user_agent": "albumswarm/0.1",
        "peer_fingerprint": PEER_ID_CUSTOMER,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": settings.port_mapping,
        "enable_natpmp": settings.port_mapping,
        # When an interface came or went it closed the sockets that listen on a named address, for
        # good: a download waited for ever. Those on all addresses it opens again.
        "enable_ip_notifier": settings.listen_host is None,
        # On loopback uTP reached 14-60 MB/s against TCP's 197 MB/s.
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,  # households and offices share an address
        # A peer refused because its certificate had just expired: 1.6 s instead of 55 s.
        "min_reconnect_time": 2,
        # Deep request queues (500 blocks by default) make customers ask the seeder for what others
        # are about to have. 1 MiB a peer still carries 20 MB/s over 50 ms.
        "request_queue_time": 1,
        "max_out_request_queue": 64,
        "unchoke_interval": 5,
        # A seeder counts the customers who have everything among those who can pass it on: they
        # must not leave because both sides have it all.
        "close_redundant_connections": False,
        "min_announce_interval": 30,  # 300 by default: a young swarm's tracker asks for less
        "announce_to_all_tiers": False,
        "announce_to_all_trackers": False,
        # A customer's port may be any.
        "max_retry_port_bind": 10,
        "listen_system_port_fallback": True,
        "tracker_backoff": 50,
        "tracker_completion_timeout": 20,
        "tracker_receive_timeout": 10,
        # Whoever stops waits for it: see `Session.remove`.
        "stop_tracker_timeout": 1,
        "max_concurrent_http_announces": 100,
        # By default a web seed whose name was not found once is left alone for half an hour.
        "web_seed_name_lookup_retry": 30,
        "urlseed_wait_retry": 10,
        # Peers are called at ticks, every half second by default: an album begins so much sooner.
        "tick_interval": 100,
        # What waits to be written: 100 MB by default, which took as much memory and no less time.
        "max_queued_disk_bytes": 32 << 20,
        "upload_rate_limit": settings.upload_limit_bytes_s,
        "download_rate_limit": settings.download_limit_bytes_s,
        "connections_limit": 300,
        "unchoke_slots_limit": 8 if settings.upload else 0,
        # Pieces that a choked peer may ask for all the same (BEP 6).
        "allowed_fast_set_size": 5 if settings.upload else 0,
        "alert_queue_size": 20_000,
        "alert_mask": categories.error_notification
        | categories.tracker_notification
        | categories.status_notification
        | categories.storage_notification
        | categories.piece_progress_notification
        | categories.port_mapping_notification,
    }


def limit_every_peer(session: lt.session) -> None:
    """Put all addresses into the global peer class, so that rate limits hold on loopback too."""
    every_class = lt.ip_filter()
    global_class = 1 << session.global_peer_class_id
    every_class.add_rule("0.0.0.0", "255.255.255.255", global_class)  # noqa: S104 - a range
    every_class.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", global_class)
    session.set_peer_class_filter(every_class)
