"""Answers that no API server sends while it works: byte by byte, as a broken server or proxy might send them."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
import structlog

from tests.kube.scripted import server, stream
from webhook.kube.reflector import Cause, Reflector, ResourceVersionError, Undecodable


class Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class Thing(msgspec.Struct):
    metadata: Meta


class Counted(Thing):
    count: int = 0


class Recorder:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def started(self) -> None:
        self.calls.append("started")

    def seen(self, item: Thing) -> None:
        self.calls.append(f"seen {item.metadata.name}")

    def gone(self, item: Thing) -> None:
        self.calls.append(f"gone {item.metadata.name}")

    def synced(self, resource_version: int) -> None:
        self.calls.append(f"synced {resource_version}")

    def reached(self, resource_version: int) -> None:
        self.calls.append(f"reached {resource_version}")


def event(kind: str, name: str, version: str) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version}}}).encode()


def bookmark(version: str, *, is_end: bool = False) -> bytes:
    metadata = {"resourceVersion": version} | ({"annotations": {"k8s.io/initial-events-end": "true"}} if is_end else {})
    return json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}}).encode()


def failure(code: int, reason: str) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": reason}}).encode()


LIST = stream(event("ADDED", "a", "3"), bookmark("5", is_end=True))


@pytest.mark.parametrize(
    ("calls", "restarts", "answers"),
    [
        pytest.param(["synced 5"], ["cut"], [LIST, stream()], id="a watch that ends at once is no regular end"),
        pytest.param(
            ["seen a", "started"], ["cut"], [stream(event("ADDED", "a", "3"))], id="an unfinished list begins again"
        ),
        pytest.param(["synced 5"], ["error"], [LIST, stream(b"<html>")], id="after garbage the watch is resumed"),
        pytest.param(
            ["synced 5", "reached 6"],
            ["error"],
            [LIST, stream(bookmark("6"), failure(500, "InternalError"))],
            id="after an error event the watch is resumed",
        ),
        pytest.param(
            ["synced 5", "reached 6", "started"],
            ["expired"],
            [LIST, stream(bookmark("6"), failure(410, "Expired"))],
            id="after an error event with the reason Expired a list is needed",
        ),
        pytest.param(
            ["synced 5", "reached 9", "started"],
            ["expired"],
            [LIST, stream(bookmark("9"), bookmark("8"))],
            id="a watch that goes back needs a list",
        ),
        pytest.param(
            ["synced 5", "reached 6"],
            [],
            [
                LIST,
                stream(event("ADDED", "deep", "6")[:-1] + b',"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", bookmark("6")),
            ],
            id="an object nested beyond reason is passed over",
        ),
        pytest.param(
            ["synced 5", "gone a", "reached 7"],
            ["cut"],
            [LIST, stream(event("DELETED", "a", "7")), stream()],
            id="a deletion has a version of its own",
        ),
    ],
)
async def test_broken_answers(calls: list[str], restarts: list[Cause], answers: list[bytes], tmp_path: Path) -> None:
    sink, causes = Recorder(), list[Cause]()
    async with server(answers, tmp_path) as (api, scripted):
        reflector = Reflector(api, "/things", Thing, sink, resource="things", on_restart=causes.append)
        run = asyncio.create_task(reflector.run())
        await asyncio.wait_for(scripted.exhausted.wait(), 20)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    assert sink.calls[-len(calls) :] == calls
    assert causes == restarts


async def test_the_watch_is_resumed_where_it_was(tmp_path: Path) -> None:
    answers = [LIST, stream(event("MODIFIED", "a", "8")), stream(bookmark("12"))]
    async with server(answers, tmp_path) as (api, scripted):
        reflector = Reflector(api, "/things", Thing, Recorder(), resource="things", jitter=lambda: 0.5)
        run = asyncio.create_task(reflector.run())
        await asyncio.wait_for(scripted.exhausted.wait(), 20)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    start, tail = "GET /things?watch=1&", "&allowWatchBookmarks=true&timeoutSeconds=360 HTTP/1.1"
    assert scripted.requests == [
        f"{start}sendInitialEvents=true&resourceVersionMatch=NotOlderThan{tail}",
        f"{start}resourceVersion=5{tail}",
        f"{start}resourceVersion=8{tail}",
        f"{start}resourceVersion=12{tail}",
    ]


async def test_versions_without_an_order_are_raised(tmp_path: Path) -> None:
    async with server([stream(bookmark("W/abc", is_end=True))], tmp_path) as (api, _):
        reflector = Reflector(api, "/things", Thing, Recorder(), resource="things")
        with pytest.raises(ResourceVersionError, match="'W/abc' is no integer"):
            await asyncio.wait_for(reflector.run(), 20)


@pytest.mark.parametrize("takes", [True, False], ids=["to the caller that takes it", "to the log if none does"])
async def test_an_object_that_cannot_be_read_is_reported_once(tmp_path: Path, *, takes: bool) -> None:
    odd = {"metadata": {"name": "odd", "resourceVersion": "6"}, "count": "many"}
    answers = [LIST, stream(json.dumps({"type": "ADDED", "object": odd}).encode())]
    misfits: list[Undecodable] = []
    with structlog.testing.capture_logs() as logs:
        async with server(answers, tmp_path) as (api, scripted):
            undecodable = misfits.append if takes else None
            reflector = Reflector(api, "/things", Counted, Recorder(), resource="things", undecodable=undecodable)
            run = asyncio.create_task(reflector.run())
            await asyncio.wait_for(scripted.exhausted.wait(), 20)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    assert [each["event"] for each in logs].count("an object cannot be read") == (0 if takes else 1)
    assert [each.name for each in misfits] == (["odd"] if takes else [])
