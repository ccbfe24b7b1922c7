"""Denials are counted into few Events, and those of several replicas into one, as a real API server stores them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from localcluster.controlplane import ControlPlane
from tests.fakes import NOON, FakeClock
from webhook.kube.api import ForbiddenError, KubernetesApi
from webhook.kube.counted_events import MOST_KEPT
from webhook.kube.denial_events import DenialEvents, name_of
from webhook.kube.events import CountedEvent, EventWriter
from webhook.ports import Denial
from webhook.quota.objects import OwnerReference


def denied(number: int = 0, *, reason: str = "QuotaExceeded", message: str = "no room", owner: str = "alice") -> Denial:
    above = OwnerReference("apps/v1", "Deployment", f"web-{number}", f"uid-{number}")
    return Denial("red", above, reason, message, owner)


class Story:
    """Denials, and the Events that are written of them while time passes only where a test says so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.written: list[CountedEvent] = []
        self.trouble: Exception | None = None
        self.events = DenialEvents(self._add, clock=self.clock, sleep=self._sleep)
        self._end = self.clock.seconds

    async def _add(self, event: CountedEvent) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.written.append(event)

    async def _sleep(self, seconds: float) -> None:
        while self.clock.seconds + seconds > self._end:  # noqa: ASYNC110 - time stands still meanwhile
            await asyncio.sleep(0)
        self.clock.pass_by(seconds)
        self.clock.wall += timedelta(seconds=seconds)

    async def pass_by(self, seconds: float) -> None:
        self._end += seconds
        for _ in range(10 + 5 * int(seconds / 0.2)):
            await asyncio.sleep(0)

    @property
    def counts(self) -> list[int]:
        return [each.count for each in self.written]


@asynccontextmanager
async def running() -> AsyncIterator[Story]:
    story = Story()
    task = asyncio.create_task(story.events.run())
    try:
        yield story
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_comes_at_once_is_one_event_and_what_follows_is_added_once_a_minute() -> None:
    async with running() as story:
        story.events.record(denied())
        await story.pass_by(0.6)
        for _ in range(2):
            story.events.record(denied())
        await story.pass_by(2)
        assert story.counts == [3]
        assert story.written[0].first == NOON

        for number in range(40):
            story.events.record(denied(message=f"no room {number}"))
            await story.pass_by(1)
        assert story.counts == [3]
        await story.pass_by(30)
        assert story.counts == [3, 40]
        assert len({each.name for each in story.written}) == 1
        assert story.written[-1].message == "no room 39"
        assert story.written[0].last < story.written[1].first < story.written[1].last

        await story.pass_by(300)
        assert story.counts == [3, 40]


async def test_each_object_and_each_reason_has_an_event_of_its_own() -> None:
    async with running() as story:
        for each in (denied(1), denied(2), denied(1, reason="NeverFits"), denied(1)):
            story.events.record(each)
        await story.pass_by(5)

    told = sorted((each.involved.name, each.reason, each.count) for each in story.written)
    assert told == [("web-1", "NeverFits", 1), ("web-1", "QuotaExceeded", 2), ("web-2", "QuotaExceeded", 1)]


async def test_at_most_five_events_a_second_are_written() -> None:
    async with running() as story:
        for number in range(100):
            story.events.record(denied(number))
        await story.pass_by(11)
        assert 45 <= len(story.written) <= 55
        await story.pass_by(12)
        assert story.counts == [1] * 100


async def test_of_too_many_the_one_that_was_denied_longest_ago_is_forgotten() -> None:
    async with running() as story:
        for number in range(MOST_KEPT):
            story.events.record(denied(number))
        story.events.record(denied(0))
        story.events.record(denied(MOST_KEPT))
        await story.pass_by(250)

    told = {each.involved.name: each.count for each in story.written}
    assert len(told) == MOST_KEPT
    assert "web-1" not in told
    assert told["web-0"] == 2


async def test_what_cannot_be_written_is_dropped_and_the_next_one_is_tried() -> None:
    async with running() as story:
        story.trouble = ForbiddenError("no", request="PATCH", status=403)
        story.events.record(denied())
        await story.pass_by(5)
        story.trouble = None
        await story.pass_by(300)
        assert story.written == []

        story.events.record(denied())
        await story.pass_by(70)
        assert story.counts == [1]


# On a real API server.


def event(namespace: str, *, count: int = 2, seconds: int = 0, message: str = "no room") -> CountedEvent:
    involved = OwnerReference("apps/v1", "Deployment", "web", "uid-of-web")
    last = NOON + timedelta(seconds=seconds)
    name = name_of("uid-of-web", "QuotaExceeded")
    notes = {"userquota.dev/charged-to": "alice"}
    return CountedEvent(
        namespace, name, involved, "QuotaExceeded", message, count, NOON, last, {"userquota.dev/event": "denial"}, notes
    )


def stored(cluster: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    found = cluster.kubectl("get", "events", "-n", namespace, "-l", "userquota.dev/event=denial", "-o", "json").stdout
    items: list[dict[str, Any]] = json.loads(found)["items"]
    return items


async def test_replicas_add_to_one_event(control_plane: ControlPlane, namespace: str) -> None:
    apis = [await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig()) for _ in range(2)]
    writers = [EventWriter(each, namespace="elsewhere", clock=FakeClock()) for each in apis]

    await writers[0].add(event(namespace))
    await asyncio.gather(*(each.add(event(namespace, count=5, seconds=60, message="x" * 2000)) for each in writers))

    for api in apis:
        await api.close()
    [found] = stored(control_plane, namespace)
    assert (found["count"], found["type"], found["reason"]) == (12, "Warning", "QuotaExceeded")
    assert found["message"] == "x" * 1024
    assert (found["firstTimestamp"], found["lastTimestamp"]) == ("2026-11-01T12:00:00Z", "2026-11-01T12:01:00Z")
    assert found["metadata"]["annotations"] == {"userquota.dev/charged-to": "alice"}
    assert found["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "namespace": namespace,
        "uid": "uid-of-web",
    }


async def test_two_that_begin_at_once_make_one_event(control_plane: ControlPlane, namespace: str) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    writer = EventWriter(api, namespace="elsewhere", clock=FakeClock())

    await asyncio.gather(writer.add(event(namespace)), writer.add(event(namespace)), writer.add(event(namespace)))

    await api.close()
    assert [each["count"] for each in stored(control_plane, namespace)] == [6]


async def test_the_last_time_never_steps_back(control_plane: ControlPlane, namespace: str) -> None:
    """A replica that was slow adds what another one has been ahead of."""
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    writer = EventWriter(api, namespace="elsewhere", clock=FakeClock())

    for seconds in (60, 30):
        await writer.add(event(namespace, seconds=seconds))

    await api.close()
    [found] = stored(control_plane, namespace)
    assert (found["count"], found["lastTimestamp"]) == (4, "2026-11-01T12:01:00Z")


async def test_an_event_that_was_forgotten_begins_anew(control_plane: ControlPlane, namespace: str) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    writer = EventWriter(api, namespace="elsewhere", clock=FakeClock())

    await writer.add(event(namespace))
    await asyncio.to_thread(control_plane.kubectl, "delete", "events", "--all", "-n", namespace)
    await writer.add(event(namespace, count=3))

    await api.close()
    assert [each["count"] for each in stored(control_plane, namespace)] == [3]
