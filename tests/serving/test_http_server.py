"""
How answers and errors become HTTP, and how connections live and end.

That no spoiled review is ever allowed is in `test_http_law`, bodies are in `test_bodies`, callers in `test_callers`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading

import aiohttp
import pytest

from tests.serving.stage import ALLOWED, REVIEW, Stage, allow, read_reply
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.certificates import ServingIdentity
from webhook.ports import UnavailableError
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import HttpServer
from webhook.wiring.application import SystemClock


@pytest.fixture(params=[True, False], ids=["httptools", "aiohttp"])
def reads_by_itself(request: pytest.FixtureRequest) -> bool:
    is_fast: bool = request.param
    return is_fast


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
    "empty": (b"", "the body is no AdmissionReview: Input data was truncated"),
    "no JSON": (b"hello", "the body is no AdmissionReview: "),
    "trailing garbage": (REVIEW + b"}", "the body is no AdmissionReview: "),
    "the old version": (
        REVIEW.replace(b".io/v1", b".io/v1beta1"),
        "expected admission.k8s.io/v1, AdmissionReview; got admission.k8s.io/v1beta1, AdmissionReview",
    ),
    "no request": (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        "request or request.uid is missing",
    ),
    "a hundred thousand brackets": (b'{"request":' + b"[" * 100_000, "the body is no AdmissionReview: "),
    "bytes that are no text": (b'{"kind":"\xff"}', "the body is no AdmissionReview: "),
}


@pytest.mark.parametrize("path", ["/validate", "/mutate"])
@pytest.mark.parametrize(("body", "text"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_that_is_no_review_is_a_bad_request(stage: Stage, path: str, body: bytes, text: str) -> None:
    reply = await stage.post(body, path)

    assert reply.status == 400
    assert reply.reason.startswith(text)


async def test_a_review_that_the_handler_cannot_read_is_a_bad_request(stage: Stage) -> None:
    async def miss(request: AdmissionRequest, _: float) -> AdmissionResponse:
        raise ReviewError("request.object is missing", request.uid)

    stage.answer = miss
    reply = await stage.post()

    assert (reply.status, reply.reason) == (400, "request.object is missing")


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
async def test_other_methods_and_paths_have_their_own_errors(stage: Stage, method: str, path: str, status: int) -> None:
    assert (await stage.get(path, method)).status == status


async def test_another_method_is_told_which_there_are(stage: Stage) -> None:
    assert (await stage.get("/validate", "GET")).headers["allow"] == "POST"
    assert (await stage.get("/livez", "POST")).headers["allow"] == "GET,HEAD"


async def test_an_error_of_this_replica_is_told_and_the_call_repeated_elsewhere(stage: Stage) -> None:
    async def not_yet(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise UnavailableError("not-synced", "the pods are not all known yet")

    stage.answer = not_yet
    reply = await stage.post()

    assert (reply.status, reply.reason) == (503, "the pods are not all known yet")
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("delay", ["slow", "a time-out of its own"])
async def test_an_answer_that_is_late_is_an_error_before_the_api_server_gives_up(stage: Stage, delay: str) -> None:
    async def dawdle(request: AdmissionRequest, _: float) -> AdmissionResponse:
        if delay != "slow":
            raise TimeoutError
        await asyncio.sleep(30)
        return review.allowed(request.uid)

    stage.answer = dawdle
    begun = SystemClock().monotonic()
    reply = await stage.post(path="/validate?timeout=1s")

    assert (reply.status, reply.reason) == (503, "no answer in time")
    assert "retry-after" not in reply.headers  # the next try would run into the API server's time-out
    assert SystemClock().monotonic() - begun < (10 if delay == "slow" else 0.9)


async def test_a_repeated_call_has_what_is_left_of_its_first_time_out(stage: Stage) -> None:
    deadlines: list[float] = []

    async def not_yet(_: AdmissionRequest, deadline: float) -> AdmissionResponse:
        deadlines.append(deadline)
        raise UnavailableError("not-synced", "the pods are not all known yet")

    stage.answer = not_yet
    assert "retry-after" in (await stage.post(path="/validate?timeout=2s")).headers
    await asyncio.sleep(0.5)
    last = await stage.post(path="/validate?timeout=2s")

    assert deadlines[0] == deadlines[1]
    assert (last.status, last.reason) == (503, "the pods are not all known yet")  # too late for another try
    assert "retry-after" not in last.headers


@pytest.mark.parametrize(("failures", "status"), [(1, 200), (100, 503)])
async def test_an_error_that_every_replica_has_is_tried_again_here_and_its_reason_is_the_last_answer(
    stage: Stage, failures: int, status: int
) -> None:
    """A call that is sent from replica to replica ends as a time-out: each replica begins with a new deadline."""
    tries: list[float] = []

    async def full(request: AdmissionRequest, _: float) -> AdmissionResponse:
        tries.append(SystemClock().monotonic())
        if len(tries) <= failures:
            raise UnavailableError("ledger-write", "database space exceeded", affects_all=True)
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
async def test_a_defect_refuses_and_shows_nothing_of_itself(stage: Stage, bug: Exception) -> None:
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
    assert await stage.errors("internal") == 1


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
async def test_a_defect_where_advice_is_asked_for_fails_the_call_and_refuses_nothing(
    stage: Stage, bug: Exception
) -> None:
    async def fail(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise bug

    stage.answer = fail
    reply = await stage.post(path="/advise")

    assert reply.status == 500
    assert json.loads(reply.body)["message"] == "internal error of userquota, see its log"
    assert await stage.errors("internal") == 1


async def test_after_a_defect_the_next_review_is_answered(stage: Stage) -> None:
    async def fail(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise RuntimeError

    stage.answer = fail
    await stage.post()
    stage.answer = allow

    assert (await stage.post()).body == ALLOWED


# Health and metrics.


async def test_readiness_names_every_failure(stage: Stage) -> None:
    assert await stage.shown("/readyz") == (200, "ok\n")

    stage.failures |= {"policy": "no policy", "pods": "the pods are not all known yet"}

    assert await stage.shown("/readyz") == (503, "pods: the pods are not all known yet\npolicy: no policy\n")


async def test_a_replica_that_is_not_ready_is_alive_and_answers(stage: Stage) -> None:
    stage.failures["pods"] = "the pods are not all known yet"

    assert await stage.shown("/livez") == (200, "ok\n")
    assert (await stage.post()).status == 200


async def test_a_warning_is_shown_and_takes_no_replica_out_of_service(stage: Stage) -> None:
    stage.warnings["ledger"] = "it is being rebuilt"

    assert await stage.shown("/readyz") == (200, "ok\nledger: it is being rebuilt\n")


# Connections.


async def test_a_connection_stays_open_from_request_to_request(stage: Stage) -> None:
    reader, writer = await stage.open()

    for _ in range(3):
        writer.write(stage.request())
        head, body = await read_reply(reader)
        assert b"connection: close" not in head.lower()
        assert body == ALLOWED

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


async def test_a_decision_is_finished_after_the_caller_has_hung_up(stage: Stage) -> None:
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


# Draining.


async def test_a_draining_replica_is_not_ready_and_answers_and_asks_to_reconnect(stage: Stage) -> None:
    stage.health.is_draining = True

    reply = await stage.post()

    assert (reply.status, reply.body, reply.headers["connection"]) == (200, ALLOWED, "close")
    assert await stage.shown("/readyz") == (503, "draining\n")
    assert await stage.shown("/livez") == (200, "ok\n")


async def test_after_the_drain_the_server_does_not_listen(stage: Stage) -> None:
    draining = asyncio.create_task(stage.server.drain(0.5))
    await asyncio.sleep(0.1)

    assert (await stage.post()).headers["connection"] == "close"
    await draining

    with pytest.raises(aiohttp.ClientConnectionError):
        await stage.post()


async def test_a_call_that_is_under_way_at_the_end_of_the_drain_is_answered(stage: Stage) -> None:
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


async def test_what_has_arrived_unread_at_the_end_of_the_drain_is_answered(stage: Stage) -> None:
    """It arrives while the loop is busy, on an open connection and on a new one."""
    kept = await asyncio.to_thread(dialed, stage)
    kept.sendall(stage.request())
    assert ALLOWED in await asyncio.to_thread(answered_on, kept)

    sent, connected = threading.Event(), threading.Event()

    def meanwhile() -> None:
        with kept:
            kept.sendall(stage.request())
            sent.set()
            told.append(answered_on(kept))

    def anew() -> None:
        plain = connection(stage)
        connected.set()
        with secured(stage, plain) as another:
            another.sendall(stage.request())
            told.append(answered_on(another))

    told: list[bytes] = []
    threads = [threading.Thread(target=each) for each in (meanwhile, anew)]
    for each in threads:
        each.start()
    for begun in (sent, connected):
        assert begun.wait(10)  # the loop stands still
    await stage.server.drain(0)
    for each in threads:
        await asyncio.to_thread(each.join, 10)

    assert [ALLOWED in each for each in told] == [True, True]


def connection(stage: Stage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stage.port), timeout=5)


def secured(stage: Stage, plain: socket.socket) -> ssl.SSLSocket:
    return stage.tls.wrap_socket(plain, server_hostname="127.0.0.1")


def dialed(stage: Stage) -> ssl.SSLSocket:
    return secured(stage, connection(stage))


def answered_on(connection: ssl.SSLSocket) -> bytes:
    """Return what comes until the whole answer is there, or the end."""
    content = b""
    while ALLOWED not in content:
        try:
            more = connection.recv(65536)
        except OSError:
            return content
        if not more:
            return content
        content += more
    return content


# TLS.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_new_tls_is_spoken(stage: Stage, version: ssl.TLSVersion) -> None:
    stage.tls.minimum_version = stage.tls.maximum_version = version

    reader, writer = await stage.open()
    writer.write(stage.request())

    assert (await read_reply(reader))[1] == ALLOWED
    writer.close()


def client_hello(version: int) -> bytes:
    """A ClientHello by hand: OpenSSL itself may be built without the old versions."""
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


@pytest.mark.parametrize("sent", [b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", b"\x00" * 100], ids=["HTTP", "zeros"])
async def test_without_tls_nothing_is_answered(stage: Stage, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(sent)

    answered = await asyncio.wait_for(reader.read(), 5)

    assert b"HTTP" not in answered
    assert (await stage.post()).body == ALLOWED
    writer.close()


async def test_http_2_is_refused_and_costs_nobody_else_anything(stage: Stage) -> None:
    reader, writer = await stage.open()
    resets = b"".join(b"\x00\x00\x04\x03\x00" + struct.pack(">II", number, 8) for number in range(1, 1000, 2))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + resets)

    answered = await asyncio.wait_for(reader.read(), 5)

    assert not answered or answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answered
    assert (await stage.post()).body == ALLOWED
    writer.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({f"X-{n}": "v" for n in range(15)}, 200), ({f"X-{n}": "v" for n in range(30)}, 400), ({"X": "v" * 5000}, 400)],
    ids=["as many as a sidecar adds", "more", "a long one"],
)
async def test_a_head_is_bounded(stage: Stage, headers: dict[str, str], status: int) -> None:
    assert (await stage.post(REVIEW, "/validate", **headers)).status == status
    assert (await stage.post()).body == ALLOWED


async def test_http_2_is_not_offered(stage: Stage) -> None:
    stage.tls.set_alpn_protocols(["h2", "http/1.1"])

    _, writer = await stage.open()

    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


async def test_a_port_that_is_taken_is_an_error(stage: Stage, identity: ServingIdentity) -> None:
    another = HttpServer({}, stage.health, stage.metrics, Callers(CallerFiles(), identity.clients))

    with pytest.raises(OSError, match="Address already in use"):
        await another.start("127.0.0.1", stage.port, identity.context)
    await another.drain(0)
