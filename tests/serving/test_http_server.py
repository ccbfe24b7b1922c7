"""
A real server on a real TLS port: how errors become HTTP, and how connections live and end.

That no spoiled review is ever allowed is asked in `test_http_law`.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.certificates import ServingIdentity, self_signed
from webhook.ports import Condition, UnavailableError
from webhook.serving.http_server import KEEP_ALIVE, MAX_BODY, Health, HttpServer
from webhook.serving.metrics import Metrics
from webhook.wiring.application import SystemClock

REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "userInfo": {"username": "alice"},
        },
    }
).encode()
ALLOWED = b'{"response":{"uid":"u-1","allowed":true},"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'

Answer = Callable[[AdmissionRequest, float], Awaitable[AdmissionResponse]]


async def allow(request: AdmissionRequest, _: float) -> AdmissionResponse:
    return review.allowed(request.uid)


def condition(message: str) -> Condition:
    return Condition(ok=not message, message=message)


@dataclass
class Stage:
    """A server whose answer a test chooses, and a client that trusts it."""

    identity: ServingIdentity
    answer: Answer = allow
    troubles: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.health = Health(
            {"pods": lambda: condition(self.troubles.get("pods", "")), "policy": self.policy_trouble},
            remarks={"ledger": lambda: condition(self.remarks.get("ledger", ""))},
        )
        self.metrics = Metrics(lambda: {"pods_known": 7})
        self.server = HttpServer({"/validate": self._answer, "/mutate": allow}, self.health, self.metrics)

    def policy_trouble(self) -> Condition:
        return condition(self.troubles.get("policy", ""))

    async def _answer(self, request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await self.answer(request, deadline)

    async def start(self) -> None:
        self.port = await self.server.start("127.0.0.1", 0, self.identity.context)
        self.tls = ssl.create_default_context(cadata=self.identity.ca_bundle.decode())
        connector = aiohttp.TCPConnector(ssl=self.tls)
        self.client = aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector)

    async def stop(self) -> None:
        await self.client.close()
        await self.server.drain(0)

    async def post(self, body: bytes = REVIEW, path: str = "/validate", **headers: str) -> Reply:
        async with self.client.post(path, data=io.BytesIO(body), headers=headers) as response:
            return await Reply.of(response)

    def request(self, body: bytes = REVIEW, path: str = "/validate") -> bytes:
        """Give the bytes of a request, for those who write them themselves."""
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body

    async def get(self, path: str, method: str = "GET") -> Reply:
        async with self.client.request(method, path) as response:
            return await Reply.of(response)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname="127.0.0.1")


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    async def of(cls, response: aiohttp.ClientResponse) -> Reply:
        return cls(
            response.status, await response.read(), {key.lower(): value for key, value in response.headers.items()}
        )

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def reason(self) -> str:
        """What the API server passes on of an answer that is none."""
        told = json.loads(self.body)
        assert (told["kind"], told["apiVersion"], told["code"]) == ("Status", "v1", self.status)
        return str(told["message"])

    @property
    def review(self) -> dict[str, Any]:
        answered: dict[str, Any] = json.loads(self.body)["response"]
        return answered


@pytest.fixture(scope="module")
def identity() -> ServingIdentity:
    return self_signed(("localhost", "127.0.0.1"), SystemClock())


@pytest.fixture
async def stage(identity: ServingIdentity) -> AsyncIterator[Stage]:
    async with started(Stage(identity)) as stage:
        yield stage


@asynccontextmanager
async def started(stage: Stage) -> AsyncIterator[Stage]:
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


# Answers.


async def test_a_review_is_answered_with_the_bytes_of_its_answer(stage: Stage) -> None:
    reply = await stage.post()

    assert (reply.status, reply.body) == (200, ALLOWED)
    assert reply.headers["content-type"] == "application/json"


async def test_a_refusal_is_an_answer_and_no_http_error(stage: Stage) -> None:
    async def refuse(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return review.denied(request.uid, "no room")

    stage.answer = refuse
    reply = await stage.post()

    assert reply.status == 200
    assert (reply.review["allowed"], reply.review["status"]["code"]) == (False, 403)


async def test_each_path_has_its_own_answer(stage: Stage) -> None:
    async def refuse(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return review.denied(request.uid, "no room")

    stage.answer = refuse

    assert (await stage.post(path="/mutate")).review["allowed"] is True
    assert (await stage.post(path="/validate")).review["allowed"] is False


BUDGETS = {
    "the shortest": ("?timeout=1s", 0.9),
    "ours": ("?timeout=5s", 4.5),
    "the longest": ("?timeout=30s", 27.0),
    "without a unit": ("?timeout=5", 4.5),
    "none": ("", 9.0),
    "empty": ("?timeout=", 9.0),
    "zero": ("?timeout=0s", 0.9),
    "below zero": ("?timeout=-5s", 9.0),
    "another unit": ("?timeout=1m", 9.0),
    "a fraction": ("?timeout=1.5s", 9.0),
    "no number": ("?timeout=soon", 9.0),
    "digits of another script": ("?timeout=\uff15s", 9.0),
    "absurdly long": ("?timeout=99999s", 9.0),
    "twice": ("?timeout=2s&timeout=5s", 1.8),
}


@pytest.mark.parametrize(("query", "seconds"), BUDGETS.values(), ids=BUDGETS.keys())
async def test_the_deadline_is_what_the_api_server_waits_less_a_tenth(stage: Stage, query: str, seconds: float) -> None:
    left: list[float] = []

    async def note(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        left.append(deadline - SystemClock().monotonic())
        return review.allowed(request.uid)

    stage.answer = note
    await stage.post(path=f"/validate{query}")

    assert left == [pytest.approx(seconds, abs=0.5)]
    assert left[0] <= seconds


# Errors.

BAD_BODIES = {
    "empty": (b"", "the body is no AdmissionReview: Input data was truncated\n"),
    "no JSON": (b"hello", "the body is no AdmissionReview: "),
    "trailing garbage": (REVIEW + b"}", "the body is no AdmissionReview: "),
    "the old version": (
        REVIEW.replace(b".io/v1", b".io/v1beta1"),
        "expected admission.k8s.io/v1, AdmissionReview; got admission.k8s.io/v1beta1, AdmissionReview\n",
    ),
    "no request": (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        "request or request.uid is missing\n",
    ),
    "a hundred thousand brackets": (b'{"request":' + b"[" * 100_000, "the body is no AdmissionReview: "),
    "bytes that are no text": (b'{"kind":"\xff"}', "the body is no AdmissionReview: "),
}


@pytest.mark.parametrize("path", ["/validate", "/mutate"])
@pytest.mark.parametrize(("body", "text"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_what_is_no_review_is_a_bad_request(stage: Stage, path: str, body: bytes, text: str) -> None:
    reply = await stage.post(body, path)

    assert reply.status == 400
    assert reply.text.startswith(text)


async def test_what_the_handler_finds_unreadable_is_a_bad_request(stage: Stage) -> None:
    async def miss(request: AdmissionRequest, _: float) -> AdmissionResponse:
        raise ReviewError("request.object is missing", request.uid)

    stage.answer = miss
    reply = await stage.post()

    assert (reply.status, reply.text) == (400, "request.object is missing\n")


async def test_a_body_may_have_eight_mebibytes_and_not_a_byte_more(stage: Stage) -> None:
    fits = REVIEW + b" " * (MAX_BODY - len(REVIEW))

    assert (await stage.post(fits)).status == 200
    assert (await stage.post(fits + b" ")).status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_is_measured_by_what_comes_out_of_it(stage: Stage, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress

    fits = await stage.post(pack(REVIEW), **{"Content-Encoding": encoding})
    bomb = await stage.post(pack(REVIEW + b" " * 4 * MAX_BODY), **{"Content-Encoding": encoding})

    assert (fits.status, fits.body) == (200, ALLOWED)
    assert bomb.status == 413


async def test_a_body_that_is_not_what_its_encoding_says_is_a_bad_request(stage: Stage) -> None:
    assert (await stage.post(b"no gzip at all", **{"Content-Encoding": "gzip"})).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/validate", 405),
        ("PUT", "/validate", 405),
        ("DELETE", "/mutate", 405),
        ("POST", "/livez", 405),
        ("POST", "/readyz", 405),
        ("GET", "/", 404),
        ("POST", "/validate/", 404),
        ("POST", "/Validate", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
async def test_other_methods_and_paths_are_told_apart(stage: Stage, method: str, path: str, status: int) -> None:
    assert (await stage.get(path, method)).status == status


async def test_who_cannot_answer_yet_says_so_and_asks_to_be_called_again_elsewhere(stage: Stage) -> None:
    async def not_yet(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise UnavailableError("not-synced", "the pods are not all known yet")

    stage.answer = not_yet
    reply = await stage.post()

    assert (reply.status, reply.reason) == (503, "the pods are not all known yet")
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("trouble", ["slow", "a time-out of its own"])
async def test_who_cannot_answer_in_time_says_so_before_the_api_server_gives_up(stage: Stage, trouble: str) -> None:
    async def dawdle(request: AdmissionRequest, _: float) -> AdmissionResponse:
        if trouble != "slow":
            raise TimeoutError
        await asyncio.sleep(30)
        return review.allowed(request.uid)

    stage.answer = dawdle
    begun = SystemClock().monotonic()
    reply = await stage.post(path="/validate?timeout=1s")

    assert (reply.status, reply.reason) == (503, "no answer in time")
    assert "retry-after" not in reply.headers  # who asked to be called again now would not be heard at all
    assert SystemClock().monotonic() - begun < (10 if trouble == "slow" else 0.9)


async def test_a_call_that_is_repeated_has_what_is_left_of_its_first_time(stage: Stage) -> None:
    deadlines: list[float] = []

    async def not_yet(_: AdmissionRequest, deadline: float) -> AdmissionResponse:
        deadlines.append(deadline)
        raise UnavailableError("not-synced", "the pods are not all known yet")

    stage.answer = not_yet
    assert "retry-after" in (await stage.post(path="/validate?timeout=2s")).headers
    await asyncio.sleep(0.5)
    last = await stage.post(path="/validate?timeout=2s")

    assert deadlines[0] == deadlines[1]
    assert (last.status, last.reason) == (503, "the pods are not all known yet")  # too late for another try: it is told
    assert "retry-after" not in last.headers


@pytest.mark.parametrize(("failures", "status"), [(1, 200), (100, 503)])
async def test_a_call_that_no_replica_could_answer_is_tried_again_here_and_told_why_in_the_end(
    stage: Stage, failures: int, status: int
) -> None:
    """Sent from one replica to the other, whoever asked would be told by none: each begins to count anew."""
    tries: list[float] = []

    async def full(request: AdmissionRequest, _: float) -> AdmissionResponse:
        tries.append(SystemClock().monotonic())
        if len(tries) <= failures:
            raise UnavailableError("ledger-write", "database space exceeded", everywhere=True)
        return review.allowed(request.uid)

    stage.answer = full
    reply = await stage.post(path="/validate?timeout=3s")

    assert reply.status == status
    assert status == 200 or reply.reason == "database space exceeded"
    assert "retry-after" not in reply.headers
    assert len(tries) == 2 if status == 200 else len(tries) >= 2
    assert tries[1] - tries[0] >= 1


BUGS: dict[str, Exception] = {
    "a plain one": RuntimeError("secret"),
    "an assertion": AssertionError("secret"),
    "a missing key": KeyError("secret"),
    "recursion": RecursionError("secret"),
    "memory": MemoryError("secret"),
    "text": UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
async def test_a_bug_of_ours_refuses_and_gives_nothing_away(stage: Stage, bug: Exception) -> None:
    async def fail(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise bug

    stage.answer = fail
    reply = await stage.post()

    assert reply.status == 200
    assert reply.review == {
        "uid": "u-1",
        "allowed": False,
        "status": {
            "status": "Failure",
            "code": 500,
            "reason": "InternalError",
            "message": "internal error of userquota, see its log",
        },
    }
    assert 'userquota_troubles_total{reason="internal"} 1.0' in (await stage.get("/metrics")).text


async def test_after_a_bug_the_next_review_is_answered(stage: Stage) -> None:
    async def fail(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise RuntimeError

    stage.answer = fail
    await stage.post()
    stage.answer = allow

    assert (await stage.post()).body == ALLOWED


# Health and metrics.


async def test_readiness_names_every_trouble(stage: Stage) -> None:
    assert await _told(stage, "/readyz") == (200, "ok\n")

    stage.troubles |= {"policy": "no policy", "pods": "the pods are not all known yet"}

    assert await _told(stage, "/readyz") == (503, "pods: the pods are not all known yet\npolicy: no policy\n")


async def test_who_is_not_ready_is_alive_and_answers(stage: Stage) -> None:
    stage.troubles["pods"] = "the pods are not all known yet"

    assert await _told(stage, "/livez") == (200, "ok\n")
    assert (await stage.post()).status == 200


async def test_what_every_replica_suffers_from_is_told_and_takes_nobody_out_of_service(stage: Stage) -> None:
    stage.remarks["ledger"] = "it is being rebuilt"

    assert await _told(stage, "/readyz") == (200, "ok\nledger: it is being rebuilt\n")


async def _told(stage: Stage, path: str) -> tuple[int, str]:
    reply = await stage.get(path)
    return reply.status, reply.text


async def test_metrics_count_answers_by_path_and_verdict_and_nothing_else(stage: Stage) -> None:
    async def not_yet(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise UnavailableError("not-synced", "for alice")

    await stage.post()
    await stage.post(b"")
    stage.answer = not_yet
    await stage.post()
    reply = await stage.get("/metrics")

    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        'userquota_reviews_total{path="/validate",verdict="allowed"} 1.0',
        'userquota_reviews_total{path="/validate",verdict="unreadable"} 1.0',
        'userquota_reviews_total{path="/validate",verdict="not-ready"} 1.0',
        'userquota_troubles_total{reason="not-synced"} 1.0',
        'userquota_troubles_total{reason="review"} 1.0',
        'userquota_review_seconds_count{path="/validate"} 3.0',
        "userquota_pods_known 7.0",
    ):
        assert line in reply.text
    assert "alice" not in reply.text


# Connections.


async def read_reply(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head, await reader.readexactly(int(length.partition(b":")[2]))


async def test_a_connection_stays_open_from_request_to_request(stage: Stage) -> None:
    reader, writer = await stage.open()

    for _ in range(200):
        writer.write(stage.request())
        head, body = await read_reply(reader)
        assert b"connection: close" not in head.lower()
        assert body == ALLOWED

    writer.close()


def test_idle_connections_are_kept_longer_than_the_api_server_keeps_them() -> None:
    assert KEEP_ALIVE > 90


@pytest.mark.parametrize("size", [1, 7, 100, 300])
async def test_a_request_may_come_in_pieces(stage: Stage, size: int) -> None:
    reader, writer = await stage.open()
    sent = stage.request() * 2

    for start in range(0, len(sent), size):
        writer.write(sent[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)

    for _ in range(2):
        assert (await read_reply(reader))[1] == ALLOWED
    writer.close()


async def test_requests_that_do_not_wait_are_answered_in_their_order(stage: Stage) -> None:
    async def slower_first(request: AdmissionRequest, _: float) -> AdmissionResponse:
        await asyncio.sleep(0.2 / int(request.uid))
        return review.allowed(request.uid)

    stage.answer = slower_first
    reader, writer = await stage.open()
    writer.write(b"".join(stage.request(REVIEW.replace(b"u-1", str(uid).encode())) for uid in range(1, 9)))

    replies = [json.loads((await read_reply(reader))[1]) for _ in range(8)]

    assert [reply["response"]["uid"] for reply in replies] == [str(uid) for uid in range(1, 9)]
    writer.close()


async def test_a_connection_serves_any_number_of_requests(stage: Stage) -> None:
    reader, writer = await stage.open()

    for _ in range(3):
        writer.write(stage.request())
        assert (await read_reply(reader))[1] == ALLOWED
    writer.write(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await read_reply(reader))[1] == b"ok\n"
    writer.close()


ODD_HEADS = {
    "a length twice": b"Content-Length: 5\r\nContent-Length: %d\r\n",
    "a length with a sign": b"Content-Length: +%d\r\n",
    "a length in small letters after another": b"Content-Length: 5\r\ncontent-length: %d\r\n",
    "a length and chunks": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    "a header over two lines": b"Content-Length: %d\r\nAccept: a\r\n b\r\n",
    "a header without a name": b"Content-Length: %d\r\n: b\r\n",
    "a space before the colon": b"Content-Length : %d\r\n",
}


@pytest.mark.parametrize("head", ODD_HEADS.values(), ids=ODD_HEADS.keys())
async def test_a_head_with_two_readings_gets_no_verdict(stage: Stage, head: bytes) -> None:
    reader, writer = await stage.open()
    writer.write(b"POST /validate HTTP/1.1\r\nHost: h\r\n" + head % len(REVIEW) + b"\r\n" + REVIEW)

    assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_errors_of_the_caller_do_not_cost_the_connection(stage: Stage) -> None:
    reader, writer = await stage.open()

    for body, status in ((b"", b" 400 "), (REVIEW, b" 200 ")):
        writer.write(stage.request(body))
        head, _ = await read_reply(reader)
        assert status in head

    writer.close()


async def test_requests_of_many_connections_are_answered_side_by_side(stage: Stage) -> None:
    waiting, all_here = 0, asyncio.Event()

    async def meet(request: AdmissionRequest, _: float) -> AdmissionResponse:
        nonlocal waiting
        waiting += 1
        if waiting == 25:
            all_here.set()
        await all_here.wait()
        return review.allowed(request.uid)

    stage.answer = meet

    replies = await asyncio.gather(*(stage.post() for _ in range(25)))

    assert [reply.status for reply in replies] == [200] * 25


async def test_a_decision_is_finished_although_the_caller_has_hung_up(stage: Stage) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        begun.set()
        await may_end.wait()
        ended.set()
        return review.allowed(request.uid)

    stage.answer = slow
    _, writer = await stage.open()
    writer.write(stage.request())
    await asyncio.wait_for(begun.wait(), 5)
    writer.transport.abort()
    await asyncio.sleep(0.05)
    may_end.set()

    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("left", [10, len(REVIEW), len(REVIEW) + 10], ids=["in the body", "before it", "in the head"])
async def test_a_request_that_breaks_off_disturbs_nobody(stage: Stage, left: int) -> None:
    _, writer = await stage.open()
    writer.write(stage.request()[:-left])
    await writer.drain()
    writer.transport.abort()

    assert (await stage.post()).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"POST /validate HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /validate HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
    ids=["no HTTP", "a length below zero", "two lengths", "HTTP/2", "a header without an end"],
)
async def test_what_is_no_http_1_1_is_a_bad_request(stage: Stage, sent: bytes) -> None:
    reader, writer = await stage.open()
    writer.write(sent)

    assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert (await stage.post()).status == 200


# Draining.


async def test_who_drains_is_not_ready_and_answers_and_asks_to_reconnect(stage: Stage) -> None:
    stage.health.is_draining = True

    reply = await stage.post()

    assert (reply.status, reply.body, reply.headers["connection"]) == (200, ALLOWED, "close")
    assert await _told(stage, "/readyz") == (503, "draining\n")
    assert await _told(stage, "/livez") == (200, "ok\n")


async def test_draining_takes_its_time_and_then_nobody_listens(stage: Stage) -> None:
    draining = asyncio.create_task(stage.server.drain(0.5))
    await asyncio.sleep(0.1)

    assert (await stage.post()).headers["connection"] == "close"
    await draining

    with pytest.raises(aiohttp.ClientConnectionError):
        await stage.post()


async def test_what_is_under_way_at_the_end_of_the_drain_is_answered(stage: Stage) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        begun.set()
        await may_end.wait()
        return review.allowed(request.uid)

    stage.answer = slow
    asked = asyncio.create_task(stage.post())
    await asyncio.wait_for(begun.wait(), 5)
    draining = asyncio.create_task(stage.server.drain(0))
    await asyncio.sleep(0.1)
    may_end.set()

    assert (await asked).body == ALLOWED
    await draining


# TLS.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_new_tls_is_spoken(stage: Stage, version: ssl.TLSVersion) -> None:
    stage.tls.minimum_version = stage.tls.maximum_version = version

    reader, writer = await stage.open()
    writer.write(stage.request())

    assert (await read_reply(reader))[1] == ALLOWED
    writer.close()


def client_hello(version: int) -> bytes:
    """Give a ClientHello by hand: OpenSSL itself may be built without the old versions."""
    ciphers = struct.pack(">HHH", 0xC02B, 0xC009, 0xC00A)  # ECDHE with ECDSA: one of 1.2, two of 1.0 and later
    extensions = bytes.fromhex("000a00040002 0017000d00040002 0403")  # P-256; signed with ECDSA and SHA-256
    body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">H", len(ciphers)) + ciphers + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + struct.pack(">HH", 0x0301, len(hello)) + hello


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [(0x0300, False), (0x0301, False), (0x0302, False), (0x0303, True)],
    ids=["SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"],
)
async def test_old_tls_gets_no_handshake(stage: Stage, version: int, is_spoken: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(client_hello(version))

    answered = await asyncio.wait_for(reader.read(1), 5)

    assert (answered == b"\x16") is is_spoken
    writer.close()


async def test_plain_http_is_refused(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(stage.request())

    assert not (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP")
    writer.close()


async def test_http_2_is_offered_by_nobody(stage: Stage) -> None:
    stage.tls.set_alpn_protocols(["h2", "http/1.1"])

    _, writer = await stage.open()

    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


async def test_a_caller_who_trusts_somebody_else_gets_nothing(stage: Stage) -> None:
    stage.tls = ssl.create_default_context(cadata=self_signed(("127.0.0.1",), SystemClock()).ca_bundle.decode())

    with pytest.raises(ssl.SSLCertVerificationError):
        await stage.open()


async def test_a_port_that_is_taken_is_an_error(stage: Stage, identity: ServingIdentity) -> None:
    another = HttpServer({}, stage.health, stage.metrics)

    with pytest.raises(OSError, match="address already in use"):
        await another.start("127.0.0.1", stage.port, identity.context)
    await another.drain(0)
