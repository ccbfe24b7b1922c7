"""One request in all records of it: the API server's audit log, the ledger, the replica's log, and the view."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import AUDITED, empty
from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking, pods_of
from tests.replicated.ledger_object import Seen


@pytest.fixture(scope="module")
def person(running: RunningWebhook) -> Iterator[Person]:
    """Somebody in the namespace of which API servers keep an audit log."""
    running.cluster.create_namespace(AUDITED)
    yield Person(running, AUDITED, "somebody-audited")
    empty(running, AUDITED)


async def create(asking: Asking, who: Person, name: str) -> Answer:
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": "600m"}}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}
    return await asking.ask("POST", pods_of(who.place), body=body, acting_as=who.name, in_groups=("people",), server=1)


async def audited(running: RunningWebhook, name: str) -> dict[str, Any]:
    """Return the event of the create of a pod in the audit log, which is written a moment after the answer."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for line in running.cluster.audit_log().read_text().rpartition("\n")[0].splitlines():
            event: dict[str, Any] = json.loads(line)
            made = event["objectRef"]
            if (event["verb"], made["resource"], made.get("name")) == ("create", "pods", name):
                return event
        await asyncio.sleep(0.1)
    raise AssertionError(f"the audit log does not know {name}")


def told(event: dict[str, Any]) -> dict[str, str]:
    """Return what userquota has noted."""
    mark = "validate.userquota.dev/"
    return {name.removeprefix(mark): text for name, text in event["annotations"].items() if name.startswith(mark)}


async def versions(asking: Asking, after: Seen) -> list[Seen]:
    """Return the versions of the ledger *after* one, as a watch shows them."""
    path = ledger_object.PATH.replace("configmaps/", "configmaps?fieldSelector=metadata.name=")
    answer = await asking.ask("GET", f"{path}&watch=1&resourceVersion={after.version}&timeoutSeconds=2", server=1)
    found = [json.loads(line)["object"] for line in answer.text.splitlines()]
    return [Seen(each["metadata"]["resourceVersion"], each["data"]["ledger"]) for each in found]


async def test_a_request_that_is_allowed_is_found_by_the_uid_of_its_object(
    running: RunningWebhook, person: Person, view: None
) -> None:
    running.set_policy(f"version: 1\nusers: {{{person.name}: {{hard: {{cpu: 1}}}}}}\n")
    async with Asking(running.cluster) as asking:
        before = await ledger_object.seen(asking, server=1)
        answer = await create(asking, person, "found")
        assert answer.status == 201, answer.text
        await ledger_object.at_rest(asking, person.place)
        pending = [each for seen in await versions(asking, before) for each in seen.pending(person.place)]
        event = await audited(running, "found")
        listed = await asking.ask("GET", f"/apis/view.userquota.dev/v1alpha1/namespaces/{person.place}/allocations")

    assert {(each.uid, each.slot.name, each.payer.owner) for each in pending} == {(answer.uid, "found", person.name)}
    assert event["impersonatedUser"]["username"] == person.name
    assert told(event) == {
        "owner": person.name,
        "found-by": "created it",
        "requested": "count/pods=1,pods=1,requests.cpu=600m",
    }
    [allocation] = json.loads(listed.text)["items"]
    assert allocation["status"]["uid"] == answer.uid


async def test_a_request_that_is_refused_is_found_by_what_it_was_told(running: RunningWebhook, person: Person) -> None:
    running.set_policy(f"version: 1\nusers: {{{person.name}: {{hard: {{cpu: 500m}}}}}}\n")
    async with Asking(running.cluster) as asking:
        before = await ledger_object.seen(asking, server=1)
        answer = await create(asking, person, "refused")
        event = await audited(running, "refused")
        pending = [each for seen in await versions(asking, before) for each in seen.pending(person.place)]

    assert answer.status == 403
    reason = answer.message.partition("denied the request: ")[2]
    assert (event["responseStatus"]["code"], event["responseStatus"]["message"]) == (403, answer.message)
    assert told(event)["requested"] == "count/pods=1,pods=1,requests.cpu=600m"
    [line] = [each for each in running.log.read_text().splitlines() if reason in each]
    assert re.search(r"uid\W+[0-9a-f]{8}-", line), line
    assert pending == []
