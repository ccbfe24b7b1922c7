"""Events that sum up, and Events as a real API server stores them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from localcluster.controlplane import ControlPlane
from tests.cluster.running import eventually
from tests.fakes import FakeClock
from webhook.kube.api import KubernetesApi
from webhook.kube.events import ConfigMapEvent, Digest, EventWriter


class Sleeper:
    """A sleep that a test ends, and that records how long it was to last."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._go.wait()
        self._go.clear()

    async def wake(self) -> None:
        self._go.set()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(work: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(work())
    await settled()
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_digest_sums_up_what_comes_within_a_second_and_then_what_comes_within_a_minute() -> None:
    sleep, published = Sleeper(), list[tuple[int, str]]()
    digest = Digest(lambda count, names: published.append((count, names)), sleep=sleep)
    async with running(digest.run):
        assert sleep.asked == []
        digest.add("red/a")
        await settled()
        digest.add("red/b")
        assert (published, sleep.asked) == ([], [1.0])
        await sleep.wake()
        assert (published, sleep.asked) == ([(2, "red/a, red/b")], [1.0, 60.0])

        for number in range(7):
            digest.add(f"red/{number}")
        assert len(published) == 1
        await sleep.wake()  # the minute is over
        await sleep.wake()
        assert published[1:] == [(7, "red/0, red/1, red/2, red/3, red/4, ...")]

        await sleep.wake()
        assert len(published) == 2  # nothing new, no Event


async def test_an_event_about_a_config_map_is_stored_beside_it(control_plane: ControlPlane, namespace: str) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    writer = EventWriter(api, namespace=namespace, clock=FakeClock())
    writer.publish(ConfigMapEvent("userquota-ledger", "", "UnadmittedUsage", "x" * 2000))

    def stored() -> list[dict[str, object]]:
        found = control_plane.kubectl("get", "events", "-n", namespace, "-o", "json").stdout
        return [each for each in json.loads(found)["items"] if each["reason"] == "UnadmittedUsage"]

    async with running(writer.run):
        await asyncio.to_thread(eventually, lambda: bool(stored()))
    await api.close()
    [event] = stored()
    assert (event["type"], event["message"]) == ("Warning", "x" * 1024)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "userquota-ledger",
        "namespace": namespace,
    }


async def test_an_event_that_is_told_once_is_refused_by_the_api_server_when_it_comes_again(
    control_plane: ControlPlane, namespace: str
) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    writers = [EventWriter(api, namespace=namespace, clock=FakeClock()) for _ in range(2)]
    event = ConfigMapEvent("limits", "uid-1", "CommitmentEnding", "it ends")
    first, second = await asyncio.gather(*(each.tell_once(event, "commitment/7 days/1/c\n1") for each in writers))
    assert sorted((first, second)) == [False, True]
    assert await writers[0].tell_once(event, "commitment/1 day/1/c\n1")
    assert await writers[0].tell_once(replace(event, uid="uid-2"), "commitment/7 days/1/c\n1")
    assert await writers[0].tell_once(event, "commitment/7 days/1/half of a pair: \ud800")
    await api.close()

    listed = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json").stdout)["items"]
    found = [each for each in listed if each["reason"] == "CommitmentEnding"]
    assert [each["count"] for each in found] == [1, 1, 1, 1]
    assert {each["involvedObject"]["uid"] for each in found} == {"uid-1", "uid-2"}
