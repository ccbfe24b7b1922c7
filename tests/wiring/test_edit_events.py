"""Edits of the policy as Events: one for each that is accepted, and a count of those that are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, cast

from tests.fakes import FakeClock
from webhook.admission.config_map_edit import ConfigMapEdit
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.kube.api import MERGE_PATCH, AlreadyExistsError, KubernetesApi, NotFoundError
from webhook.kube.events import EventWriter
from webhook.wiring.policy_edits import EditEvents

NAMESPACE = "userquota-system"
PATH = f"/api/v1/namespaces/{NAMESPACE}/events"
Json = dict[str, Any]


class Store:
    """The Events of a namespace, as an API server keeps them."""

    def __init__(self) -> None:
        self.events: dict[str, Json] = {}

    async def create(self, path: str, body: bytes) -> bytes:
        assert path == PATH
        event: Json = json.loads(body)
        metadata = event["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}{len(self.events)}"
        if name in self.events:
            raise AlreadyExistsError("it is there", request="POST", status=409)
        metadata["resourceVersion"] = "1"
        self.events[name] = event
        return body

    async def patch(self, path: str, body: bytes, *, content_type: str) -> bytes:
        assert content_type == MERGE_PATCH
        name = path.removeprefix(f"{PATH}/")
        if name not in self.events:
            raise NotFoundError("it is not there", request="PATCH", status=404)
        change = json.loads(body)
        change.pop("metadata", None)
        self.events[name] |= change
        return json.dumps(self.events[name]).encode()

    def told(self) -> list[tuple[str, str, str, str, int]]:
        return [
            (each["involvedObject"]["name"], each["reason"], each["type"], each["message"], each["count"])
            for each in self.events.values()
        ]


def edit(name: str = "p", *, base: int = 5, text: str = "version: 1") -> ConfigMapEdit:
    new = PolicyConfigMap(data={"policy.yaml": text})
    return ConfigMapEdit(name, f"uid-of-{name}", base, None, new, None, is_forced_before=False)


def replicas(store: Store, number: int = 2) -> list[tuple[EventWriter, EditEvents]]:
    made = []
    for _ in range(number):
        writer = EventWriter(cast("KubernetesApi", store), namespace=NAMESPACE, clock=FakeClock())
        made.append((writer, EditEvents(writer, namespace=NAMESPACE, clock=FakeClock())))
    return made


async def run(*work: Coroutine[None, None, None]) -> None:
    """Run *work*, which never ends, until nothing more happens."""
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.sleep(0.02)
    assert not any(each.done() for each in tasks)
    for each in tasks:
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each


async def test_an_edit_is_told_once_however_many_replicas_are_asked() -> None:
    store = Store()
    both = replicas(store)
    for _, events in both:
        events.edited(edit(), "root edited the policy: x")
        events.edited(edit(base=6), "root edited the policy: y")
        events.forced(edit(), "root forced an edit")
    await run(*(writer.run() for writer, _ in both))

    assert sorted(store.told()) == [
        ("p", "PolicyEdited", "Normal", "root edited the policy: x", 1),
        ("p", "PolicyEdited", "Normal", "root edited the policy: y", 1),
        ("p", "PolicyForced", "Warning", "root forced an edit", 1),
        ("p", "PolicyForced", "Warning", "root forced an edit", 1),
    ]


async def test_refused_edits_are_counted_for_each_user_and_config_map() -> None:
    store = Store()
    writer = EventWriter(cast("KubernetesApi", store), namespace=NAMESPACE, clock=FakeClock())
    clock = FakeClock()
    events = EditEvents(writer, namespace=NAMESPACE, clock=clock, sleep=lambda _: asyncio.sleep(0))
    for number in range(50):
        events.refused(edit(), "flux", f"refused {number}")
    events.refused(edit(), "root", "refused")
    for number in range(3):
        created = edit("q", base=0)._replace(uid=f"uid-{number}")
        events.refused(created, "flux", f"refused {number}")
    clock.pass_by(2)
    await run(events.run())

    assert sorted(store.told()) == [
        ("p", "PolicyRefused", "Warning", "refused", 1),
        ("p", "PolicyRefused", "Warning", "refused 49", 50),
        ("q", "PolicyRefused", "Warning", "refused 2", 3),
    ]

    events.refused(edit(), "flux", "refused again")
    await run(events.run())
    assert len(store.events) == 3
    assert sum(count for *_, count in store.told()) == 54
    clock.pass_by(60)
    await run(events.run())
    assert ("p", "PolicyRefused", "Warning", "refused again", 51) in store.told()
