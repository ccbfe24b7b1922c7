"""Reviews are read by httptools, in pieces or several at once; everything else on a connection is read by aiohttp."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.serving.stage import ALLOWED, REVIEW, Stage
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.serving import review_connection
from webhook.serving.review_connection import LONGEST_HEADER, MOST_HEADERS, ReviewConnection

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"


def fast(stage: Stage) -> list[ReviewConnection]:
    """Return the connections that are not aiohttp's."""
    return list(stage.server._reading)


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of the next answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
    length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length:"))
    return int(head.split()[1]), await asyncio.wait_for(reader.readexactly(length), 5)


def of(uid: str) -> bytes:
    document = json.loads(REVIEW)
    document["request"]["uid"] = uid
    return json.dumps(document).encode()


def uid_in(body: bytes) -> str:
    uid: str = json.loads(body)["response"]["uid"]
    return uid


async def test_a_review_never_gets_to_aiohttp_and_a_probe_makes_the_connection_aiohttps(stage: Stage) -> None:
    reader, writer = await stage.open()
    for _ in range(3):
        writer.write(stage.request())
        assert await answer_of(reader) == (200, ALLOWED)
    assert len(fast(stage)) == 1

    for request, expected in ((LIVEZ, b"ok\n"), (stage.request(), ALLOWED), (LIVEZ, b"ok\n")):
        writer.write(request)
        assert await answer_of(reader) == (200, expected)
        assert fast(stage) == []
    writer.close()


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
async def test_it_may_come_in_pieces(stage: Stage, size: int) -> None:
    reader, writer = await stage.open()
    for uid in ("first", "second"):
        request = stage.request(of(uid))
        for begin in range(0, len(request), size):
            writer.write(request[begin : begin + size])
            await writer.drain()
            await asyncio.sleep(0)
        status, body = await answer_of(reader)
        assert (status, uid_in(body)) == (200, uid)
    assert len(fast(stage)) == 1
    writer.close()


async def test_several_at_once_are_answered_one_after_the_other(stage: Stage) -> None:
    under_way, most = 0, 0

    async def slow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return review.allowed(request.uid)

    stage.answer = slow
    reader, writer = await stage.open()
    writer.write(b"".join(stage.request(of(f"u{number}")) for number in range(5)) + LIVEZ + stage.request(of("last")))
    found = [await answer_of(reader) for _ in range(7)]

    assert [uid_in(body) for _, body in found[:5]] == ["u0", "u1", "u2", "u3", "u4"]
    assert found[5] == (200, b"ok\n")
    assert uid_in(found[6][1]) == "last"
    assert most == 1
    writer.close()


async def test_whoever_does_not_read_the_answers_is_not_answered_for_ever(stage: Stage) -> None:
    answered = 0

    async def count(request: AdmissionRequest, _: float) -> AdmissionResponse:
        nonlocal answered
        answered += 1
        return review.denied(request.uid, "x" * 10_000)

    stage.answer = count
    reader, writer = await stage.open()
    request = stage.request()

    async def post() -> None:
        for _ in range(5000):
            writer.write(request)
            await writer.drain()

    posting = asyncio.create_task(post())
    seen = -1
    while seen != answered:
        seen = answered
        await asyncio.sleep(0.3)
    [connection] = fast(stage)
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_size() < 2 * 64 * 1024
    assert answered < 5000

    reading = asyncio.create_task(reader.read(-1))
    await asyncio.sleep(0.3)
    assert answered > seen, "it goes on as soon as they are read"
    posting.cancel()
    writer.close()
    await asyncio.gather(posting, reading, return_exceptions=True)


NOT_PLAIN = {
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "to be closed": b"Connection: close\r\nContent-Length: %d\r\n",
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n",
    "a length twice": b"Content-Length: %d\r\ncontent-length: %d\r\n",
    "a header twice": b"X: 1\r\nx: 2\r\nContent-Length: %d\r\n",
    "compressed": b"Content-Encoding: gzip\r\nContent-Length: %d\r\n",
    "many headers": b"".join(b"X-%d: 1\r\n" % number for number in range(MOST_HEADERS)) + b"Content-Length: %d\r\n",
    "a long header": b"X: %s\r\n" % (b"v" * (LONGEST_HEADER + 1)) + b"Content-Length: %d\r\n",
    "no length": b"",
    "a length in words": b"Content-Length: many\r\n",
}


@pytest.mark.parametrize("headers", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
async def test_what_is_no_plain_review_is_answered_as_by_aiohttp_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, headers: bytes
) -> None:
    length = b"%d" % len(REVIEW)
    head = b"POST /validate HTTP/1.1\r\nHost: h\r\n" + headers.replace(b"%d", length) + b"\r\n"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(REVIEW), REVIEW)
    request = head + (chunked if b"chunked" in headers else REVIEW)

    async def answer() -> tuple[int, bytes]:
        reader, writer = await stage.open()
        writer.write(request)
        found = await answer_of(reader)
        writer.close()
        return found

    first = await answer()
    assert fast(stage) == []
    await stage.stop()
    monkeypatch.setattr(review_connection, "is_available", lambda: False)
    stage.__post_init__()
    await stage.start()
    assert await answer() == first


async def test_without_httptools_aiohttp_reads_reviews(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.stop()
    monkeypatch.setattr(review_connection, "is_available", lambda: False)
    stage.__post_init__()
    await stage.start()
    assert (await stage.post()).body == ALLOWED
    assert fast(stage) == []


async def test_a_defect_of_the_server_is_an_error_and_ends_the_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(stage.server._bodies, "receive", broken)
    reader, writer = await stage.open()
    writer.write(stage.request())
    status, body = await answer_of(reader)
    assert status == 500
    assert b"secret" not in body
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_the_end_waits_for_the_answer_that_is_under_way_and_says_that_it_is_the_last(stage: Stage) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        begun.set()
        await may_end.wait()
        return review.allowed(request.uid)

    stage.answer = slow
    reader, writer = await stage.open()
    writer.write(stage.request())
    await begun.wait()
    draining = asyncio.create_task(stage.server.drain(0))
    await asyncio.sleep(0.05)
    assert not draining.done()
    may_end.set()
    text = await asyncio.wait_for(reader.read(), 5)
    assert b"Connection: close\r\n" in text
    assert text.endswith(ALLOWED)
    await draining
    writer.close()


async def test_a_request_to_connect_through_us_is_answered_and_nothing_breaks(stage: Stage) -> None:
    reader, writer = await stage.open()
    writer.write(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).split()
    assert head[1] in (b"400", b"404", b"405")
    writer.close()
    assert (await stage.post()).body == ALLOWED
