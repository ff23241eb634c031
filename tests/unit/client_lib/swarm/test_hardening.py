from client_lib.swarm.hardening import settings_pack
from client_lib.swarm.settings import SessionSettings


def test_named_address_is_listened_on_whatever_interfaces_come_and_go() -> None:
    """libtorrent 2.1.1 closes it otherwise, and downloads wait for ever."""
    named = settings_pack(SessionSettings(listen_host="127.0.0.1"))
    assert named["enable_ip_notifier"] is False
    assert settings_pack(SessionSettings())["enable_ip_notifier"] is True
