"""The balancer does what the tests need of a Service: it spreads connections, skips dead backends, hides no end."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.balancer.running import RunningBalancer

pytestmark = pytest.mark.go

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close() then resets the connection."""


class Backend:
    """Listens on loopback; the test accepts by hand."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())

    def accept(self) -> socket.socket:
        self._listener.settimeout(5)
        connection, _ = self._listener.accept()
        connection.settimeout(5)
        return connection

    def accepts_soon(self) -> bool:
        self._listener.settimeout(0.2)
        try:
            self._listener.accept()[0].close()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    several = [Backend() for _ in range(3)]
    yield several
    for backend in several:
        backend.close()


@pytest.fixture
def balancer(backends: list[Backend], tmp_path: Path) -> Iterator[RunningBalancer]:
    running = RunningBalancer([backend.address for backend in backends], tmp_path)
    running.start()
    yield running
    running.stop()


def connect(balancer: RunningBalancer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", balancer.port), timeout=5)


def send_and_close(connection: socket.socket, said: bytes) -> threading.Thread:
    def run() -> None:
        connection.sendall(said)
        connection.close()

    sender = threading.Thread(target=run)
    sender.start()
    return sender


def end_of(connection: socket.socket) -> str:
    """Wait for the end of a connection; return whether it came as FIN or RST."""
    try:
        return "FIN" if connection.recv(1) == b"" else "more bytes"
    except ConnectionResetError:
        return "RST"


def test_connections_go_to_each_backend_in_turn(balancer: RunningBalancer, backends: list[Backend]) -> None:
    reached: Counter[str] = Counter()
    for number in range(6):
        with connect(balancer) as client, backends[number % 3].accept() as server:
            reached[backends[number % 3].address] += 1
            client.sendall(b"ping")
            assert server.recv(4) == b"ping"
            server.sendall(b"pong")
            assert client.recv(4) == b"pong"
    assert set(reached.values()) == {2}


def test_a_dead_backend_is_skipped(balancer: RunningBalancer, backends: list[Backend]) -> None:
    backends[0].close()
    with connect(balancer) as client, backends[1].accept() as server:
        client.sendall(b"ping")
        assert server.recv(4) == b"ping"


def test_a_backend_that_came_back_is_used_again(balancer: RunningBalancer, backends: list[Backend]) -> None:
    host, _, port = backends[0].address.partition(":")
    backends[0].close()
    connect(balancer).close()
    for _ in range(2):
        connect(balancer).close()
    backends[0]._listener = socket.create_server((host, int(port)))
    connect(balancer).close()
    assert backends[0].accepts_soon()


@pytest.mark.parametrize("end", ["FIN", "RST"])
def test_when_a_backend_closes_its_clients_are_closed_at_once_in_the_same_way(
    balancer: RunningBalancer, backends: list[Backend], end: str
) -> None:
    with connect(balancer) as client, backends[0].accept() as server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        if end == "RST":
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        server.close()
        assert end_of(client) == end


def test_what_a_backend_said_before_its_end_arrives(balancer: RunningBalancer, backends: list[Backend]) -> None:
    said = bytes(4_000_000)
    with connect(balancer) as client, backends[0].accept() as server:
        server.settimeout(None)
        sender = send_and_close(server, said)
        heard = 0
        while chunk := client.recv(65536):
            heard += len(chunk)
        sender.join()
    assert heard == len(said)


def test_a_client_that_has_said_all_still_hears_the_answer(balancer: RunningBalancer, backends: list[Backend]) -> None:
    with connect(balancer) as client, backends[0].accept() as server:
        client.sendall(b"all")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(3) == b"all"
        assert end_of(server) == "FIN"
        server.sendall(b"answer")
        server.close()
        assert client.recv(6) == b"answer"
        assert end_of(client) == "FIN"


def test_a_client_that_goes_away_is_gone_for_the_backend_too(
    balancer: RunningBalancer, backends: list[Backend]
) -> None:
    client = connect(balancer)
    with backends[0].accept() as server:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.close()
        assert end_of(server) == "RST"


def test_without_any_backend_connections_are_reset(balancer: RunningBalancer, backends: list[Backend]) -> None:
    for backend in backends:
        backend.close()
    try:
        with connect(balancer) as client:
            assert end_of(client) == "RST"
    except ConnectionResetError:  # it came before connect() had returned
        pass
