"""An address is the one that connects to us, or what our own proxies say of it."""

from __future__ import annotations

import pytest

from lib.addresses import address_of


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, None, "10.0.0.7", "10.0.0.7"),
        (0, "1.2.3.4", "10.0.0.7", "10.0.0.7"),
        (1, "1.2.3.4", "10.0.0.7", "1.2.3.4"),
        (1, "6.6.6.6, 1.2.3.4", "10.0.0.7", "1.2.3.4"),  # whoever asked wrote the first
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.8", "10.0.0.7", "1.2.3.4"),
        (2, "1.2.3.4", "10.0.0.7", "10.0.0.7"),  # it did not come by both
        (1, None, "10.0.0.7", "10.0.0.7"),
        (1, "nonsense", "10.0.0.7", "unknown"),
        (0, None, "2001:db8::1:2:3:4", "2001:db8::/64"),
        (0, None, "2001:db8::ffff:1", "2001:db8::/64"),
        (0, None, "::ffff:1.2.3.4", "1.2.3.4"),
        (0, None, "", "unknown"),
    ],
)
def test_the_address_of_a_request(rf, settings, proxies, forwarded, peer, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    assert address_of(rf.get("/", REMOTE_ADDR=peer, headers=headers)) == address
