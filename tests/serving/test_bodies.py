"""How large a body may be, how long it may take, and how much of all bodies is in memory at once."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator

import pytest

from tests.serving.stage import ALLOWED, REVIEW, Stage, read_reply
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.serving.bodies import MAX_BODIES, MAX_BODY

LARGEST = REVIEW + b" " * (MAX_BODY - len(REVIEW))
TOO_LARGE = f"the review is larger than {MAX_BODY} bytes, which is the most that is read"


@pytest.fixture(params=[True, False], ids=["httptools", "aiohttp"])
def reads_by_itself(request: pytest.FixtureRequest) -> bool:
    is_fast: bool = request.param
    return is_fast


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 2**20):
        yield body[start : start + 2**20]


async def test_an_object_that_etcd_can_store_fits_twice_and_escaped(stage: Stage) -> None:
    stored = b'{"data":"' + b"\\u003c" * (3 * 2**19) + b'"}'
    body = REVIEW[:-2] + b',"object":' + stored + b',"oldObject":' + stored + b"}}"

    assert (await stage.post(body)).body == ALLOWED


async def test_a_body_of_the_largest_size_is_answered(stage: Stage) -> None:
    assert (await stage.post(LARGEST)).body == ALLOWED


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
async def test_a_larger_body_has_its_own_error(stage: Stage, chunked: bool) -> None:
    body = LARGEST + b" "
    async with stage.client.post("/validate", data=in_pieces(body) if chunked else io.BytesIO(body)) as response:
        assert (response.status, (await response.json())["message"]) == (413, TOO_LARGE)

    assert await stage.errors("body-too-large") == 1
    assert (await stage.post()).body == ALLOWED


@pytest.mark.parametrize("body", [gzip.compress(REVIEW), REVIEW], ids=["compressed", "not even compressed"])
async def test_a_compressed_body_is_not_unpacked(stage: Stage, body: bytes) -> None:
    reply = await stage.post(body, **{"Content-Encoding": "gzip"})

    assert (reply.status, reply.reason) == (415, "a review must not be compressed")


async def test_a_body_that_does_not_arrive_in_time_is_not_waited_for(stage: Stage) -> None:
    reader, writer = await stage.open()
    writer.write(stage.request(REVIEW, length=len(REVIEW) + 1))

    head, body = await read_reply(reader)

    assert b" 408 " in head
    assert b"the body did not arrive in time" in body
    assert stage.server._bodies._free == MAX_BODIES
    writer.close()


@pytest.mark.parametrize("left", [10, len(REVIEW), len(REVIEW) + 10], ids=["in the body", "before it", "in the head"])
async def test_a_request_that_breaks_off_leaves_nothing_behind(stage: Stage, left: int) -> None:
    _, writer = await stage.open()
    writer.write(stage.request()[:-left])
    await writer.drain()
    writer.transport.abort()

    assert (await stage.post()).status == 200
    assert stage.server._bodies._free == MAX_BODIES


async def test_when_large_bodies_fill_the_memory_the_next_call_is_repeated_elsewhere_and_at_once(stage: Stage) -> None:
    """Before there was a bound, 30 of the largest bodies at once reached the container's 256 MiB."""
    begun, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request: AdmissionRequest, _: float) -> AdmissionResponse:
        begun.release()
        await may_end.wait()
        return review.allowed(request.uid)

    stage.answer = wait
    most = MAX_BODIES // MAX_BODY
    waiting = [asyncio.create_task(stage.post(LARGEST)) for _ in range(most)]
    for _ in range(most):
        await asyncio.wait_for(begun.acquire(), 20)
    refused = await asyncio.wait_for(stage.post(LARGEST), 5)
    small = asyncio.create_task(stage.post())
    await asyncio.wait_for(begun.acquire(), 5)
    may_end.set()

    assert refused.status == 503
    assert refused.reason == "too many and too large reviews are being answered at this moment"
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    assert [reply.body for reply in await asyncio.gather(*waiting, small)] == [ALLOWED] * (most + 1)
    assert await stage.errors("bodies") == 1
    assert stage.server._bodies._free == MAX_BODIES


async def test_what_is_promised_and_not_sent_keeps_no_other_call_out(stage: Stage) -> None:
    promising = [(await stage.open())[1] for _ in range(10)]
    for writer in promising:
        writer.write(stage.request(b"{", length=MAX_BODY))
        await writer.drain()

    assert (await stage.post(LARGEST)).body == ALLOWED

    for writer in promising:
        writer.close()
