"""Whose address a request comes from, for limits and the trail; not for deciding who may do what.

Behind proxies it is what the first of ours says: each appends the address it was asked from to
``X-Forwarded-For``, and whatever stands before that anybody can write.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

#: Bits of an IPv6 address that one household or machine is given, and can change the rest of.
NETWORK_BITS = 64


def address_of(request: HttpRequest | Request) -> str:
    """Return an IPv4 address, or the network of an IPv6 one; ``unknown`` for what is neither."""
    said = request.META.get("HTTP_X_FORWARDED_FOR", "")
    forwarded, proxies = said.split(",") if said else [], settings.TRUSTED_PROXIES
    is_said = 0 < proxies <= len(forwarded)
    text = forwarded[-proxies] if is_said else request.META.get("REMOTE_ADDR", "")
    try:
        address = ip_address(text.strip())
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), NETWORK_BITS), strict=False))
