"""Connections of those who hold them without asking for anything, and who send a byte now and then: real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator

import pytest

from tests.serving.stage import ALLOWED, REVIEW, Stage, read_reply, started
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity
from webhook.serving import connections, http_server, listener

MOST = 8
ELSEWHERE = "127.0.0.2"
"""The address of those who hold connections; API servers are at 127.0.0.1."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def small(identity: ServingIdentity, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A server with room for few connections, which is impatient."""
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", MOST)
    monkeypatch.setattr(listener, "_SWEEP_SECONDS", 0.05)
    async with started(Stage(identity)) as stage:
        yield stage


async def held(stage: Stage, count: int, sent: bytes = b"") -> list[Streams]:
    """Connections of another address, on each of which *sent* was sent."""
    opened = []
    for _ in range(count):
        streams = await asyncio.open_connection(
            "127.0.0.1", stage.port, ssl=stage.tls, server_hostname="127.0.0.1", local_addr=(ELSEWHERE, 0)
        )
        streams[1].write(sent)
        opened.append(streams)
    return opened


def abandon(streams: list[Streams]) -> None:
    for _, writer in streams:
        writer.transport.abort()


async def is_cut(streams: Streams) -> bool:
    """Whether the server has ended a connection, after waiting for it for a moment."""
    try:
        await asyncio.wait_for(streams[0].read(), 0.5)
    except TimeoutError:
        return False
    except (OSError, ssl.SSLError):
        pass
    return True


async def cut(several: list[Streams]) -> int:
    """How many of *several* the server has ended."""
    return sum(await asyncio.gather(*map(is_cut, several)))


HALVES = {
    "idle": b"",
    "half a head": b"POST /validate?timeout=30s HTTP/1.1\r\nHost: h\r\nX-Pad",
    "half a body": b"POST /validate?timeout=30s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{",
    "a scrape": b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n",
    "a review": b"POST /validate HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"%d\r\n\r\n" % len(REVIEW) + REVIEW,
}


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES.keys())
async def test_whatever_another_address_holds_an_api_server_is_answered_on_its_old_connection_and_on_new_ones(
    small: Stage, sent: bytes
) -> None:
    reader, writer = await small.open()
    writer.write(small.request())
    assert (await read_reply(reader))[1] == ALLOWED

    holding = await held(small, 4 * MOST, sent)
    assert len(small.server._connections) <= MOST

    writer.write(small.request())
    assert (await read_reply(reader))[1] == ALLOWED
    assert (await small.post()).body == ALLOWED
    assert await cut(holding) >= 3 * MOST
    writer.close()
    abandon(holding)


async def test_who_sends_no_whole_head_in_time_is_cut_off(small: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections._IDLE, connections.Standing.NEW, 0.3)
    [slow] = await held(small, 1)

    begun = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in small.request():
            slow[1].write(bytes([byte]))
            await slow[1].drain()
            await asyncio.sleep(0.05)
            if slow[0].at_eof():
                break

    assert time.monotonic() - begun < 2
    assert len(small.server._connections) == 0
    abandon([slow])


async def test_who_begins_no_handshake_in_time_is_cut_off(small: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_SECONDS", 0.3)
    streams = await asyncio.open_connection("127.0.0.1", small.port)

    assert await is_cut(streams)
    await asyncio.sleep(0.1)
    assert len(small.server._connections) == 0
    abandon([streams])


async def test_those_that_begin_no_handshake_keep_nobody_out(small: Stage) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", small.port, local_addr=(ELSEWHERE, 0)) for _ in range(30)]

    assert (await small.post()).body == ALLOWED
    abandon(silent)


async def test_when_every_connection_has_a_review_under_way_the_next_waits_until_one_has_its_answer(
    small: Stage,
) -> None:
    begun, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request: AdmissionRequest, _: float) -> AdmissionResponse:
        begun.release()
        await may_end.wait()
        return review.allowed(request.uid)

    small.answer = wait
    waiting = [asyncio.create_task(small.post()) for _ in range(MOST)]
    for _ in range(MOST):
        await asyncio.wait_for(begun.acquire(), 5)
    one_more = asyncio.create_task(one_call(small))
    await asyncio.sleep(0.3)
    assert not one_more.done()
    may_end.set()

    assert await asyncio.wait_for(one_more, 5) == ALLOWED
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}


async def one_call(stage: Stage) -> bytes:
    reader, writer = await stage.open()
    writer.write(stage.request())
    _, body = await read_reply(reader)
    writer.close()
    return body


async def test_without_a_file_left_the_loop_does_not_turn_in_circles_and_goes_on_when_there_is_one(
    small: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    monkeypatch.setattr(listener.Listener, "_pause", counting(listener.Listener._pause, turns))
    client = socket.socket()  # has its file before there are no more
    client.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_file(), hard))
    try:
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", small.port))
        await asyncio.sleep(0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 0 < len(turns) <= 12
    assert set(turns) == {"Too many open files"}
    reader, writer = await asyncio.open_connection(sock=client, ssl=small.tls, server_hostname="127.0.0.1")
    writer.write(small.request())
    assert (await read_reply(reader))[1] == ALLOWED
    writer.close()


def next_file() -> int:
    """The lowest number that no file has, up to which all have one: as a limit it allows no further file."""
    handle = os.open("/dev/null", os.O_RDONLY)
    os.close(handle)
    return handle


def counting(pause: object, reasons: list[str]) -> object:
    def counted(self: listener.Listener, listening: socket.socket, reason: str) -> None:
        reasons.append(reason)
        pause(self, listening, reason)  # type: ignore[operator]

    return counted


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "connections"),
    [(512, 4096, 1280, 1024), (4096, 4096, 4096, 1024), (512, 1024, 1024, 768), (64, 64, 64, 16)],
    ids=["is raised", "is enough", "as far as it can be", "hardly any"],
)
def test_the_limit_of_open_files_is_raised_and_bounds_the_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int, connections: int
) -> None:
    limits = (soft, hard)

    def use(_: int, new: tuple[int, int]) -> None:
        nonlocal limits
        limits = new

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", use)

    assert listener.raise_file_limit(1024) == connections
    assert limits == (allowed, hard)
