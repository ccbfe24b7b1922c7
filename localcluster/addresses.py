"""
Reserve free ports on loopback for servers that are about to start.

Nothing listens or connects here.
"""

import socket

LOOPBACK = "127.0.0.1"


class HeldPort:
    """
    A port that the system assigns to no other program while this object holds it.

    The port is bound, not listened on, with SO_REUSEPORT: a server of the same user that sets the same option
    (etcd ``--socket-reuse-port``, kube-apiserver ``--permit-port-sharing``) may start, end and start again on it.
    A port that is closed before the server starts is lost now and then to an outgoing connection of the machine.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((LOOPBACK, 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Release the port. A server that listens on it keeps it."""
        self._socket.close()
