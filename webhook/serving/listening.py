"""
Where a server listens: at one address, or at all of the machine, of IPv4 and of IPv6 alike.
"""

from __future__ import annotations

import errno
import socket
import ssl

from aiohttp import web

_BACKLOG = 1024


def site(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext) -> web.BaseSite:
    """
    Return what makes *runner* listen, at all addresses where *host* is empty. Raises: OSError if the port is taken.

    A pod of an IPv6 cluster has no address of IPv4, and 0.0.0.0 is none of IPv6: nobody would reach it there.
    """
    if host:
        return web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG)
    return web.SockSite(runner, _everywhere(port), ssl_context=tls, backlog=_BACKLOG)


def _everywhere(port: int) -> socket.socket:
    """Return one socket for both families; of IPv4 alone where the machine has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port), backlog=_BACKLOG)
