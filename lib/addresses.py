"""Whose address a request comes from, for limits and the trail; not for deciding who may do what.

Behind proxies it is what the first of ours says: each appends the address it was asked from to
``X-Forwarded-For``, and whatever stands before that anybody can write.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

#: Bits of an IPv6 address that one household or machine is given, and can change the rest of.
NETWORK_BITS = 64


def client_address(environ: Mapping[str, Any]) -> IPv4Address | IPv6Address | None:
    """Return the very address that a request comes from; None for what is no address.

    ``environ`` is a WSGI environment, or a request's ``META``.
    """
    said = environ.get("HTTP_X_FORWARDED_FOR", "")
    forwarded, proxies = said.split(",") if said else [], settings.TRUSTED_PROXIES
    is_said = 0 < proxies <= len(forwarded)
    text = forwarded[-proxies] if is_said else environ.get("REMOTE_ADDR", "")
    return _address(text)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def asked_from(environ: Mapping[str, Any]) -> tuple[IPv4Address | IPv6Address | None, ...]:
    """Return the addresses of those a request is passed on for (``Assay-Asked-From``).

    Anybody can write them, so what they say may only be held against a request.
    """
    said = environ.get("HTTP_ASSAY_ASKED_FROM")
    return () if said is None else tuple(_address(text) for text in said.split(","))


#: Bits of an address that are kept for good: those who share them are many.
KEPT_BITS = {4: 24, 6: 48}


def kept_part(address: str) -> str:
    """Return what of an address stays in the trail for ever: of one on the internet its network."""
    try:
        network = ip_network(address)
    except ValueError:
        return address
    if network.is_private or network.is_loopback:
        return address
    bits = min(KEPT_BITS[network.version], network.prefixlen)
    return str(network.supernet(new_prefix=bits))


def address_of(request: HttpRequest | Request) -> str:
    """Return an IPv4 address, or the network of an IPv6 one; ``unknown`` for what is neither."""
    address = client_address(request.META)
    if address is None:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(ip_network((int(address), NETWORK_BITS), strict=False))
