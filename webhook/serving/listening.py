"""
Where a server listens: at one address, or at all of the machine, of IPv4 and of IPv6 alike.
"""

from __future__ import annotations

import asyncio
import errno
import socket

_BACKLOG = 1024


async def listening(host: str, port: int) -> list[socket.socket]:
    """
    Return sockets that listen at *host*, at all addresses where it is empty. Raises: OSError if the port is taken.

    A pod of an IPv6 cluster has no address of IPv4, and 0.0.0.0 is none of IPv6: nobody would reach it there.
    """
    if not host:
        return [_everywhere(port)]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    opened: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            opened.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


def _everywhere(port: int) -> socket.socket:
    """Return one socket for both families; of IPv4 alone where the machine has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port), backlog=_BACKLOG)
