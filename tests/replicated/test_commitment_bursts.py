"""What was promised of nodes, in bursts: three replicas give none of it away, and all that is free."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from tests.cluster.running import CONFIG_MAP, NAMESPACE
from tests.replicas import Replicas
from tests.replicated.asking import PODS, Answer, Asking, Made, numbered, statuses
from webhook.wiring.application import SystemClock

GPUS = 60
PROMISED = 20
POLICY = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}"
MERGE = "application/merge-patch+json"

_TURNS = 3
_OTHERS = 2000
"""Entries that make the policy take a third of a second to read: so long may replicas go by different ones."""
_AT_ONCE = 4
_EACH = 24
"""Of each of these the next is asked for when the one before is answered."""


@pytest.fixture
async def gpus(replicas: Replicas, asking: Asking, place: str) -> AsyncIterator[Made]:
    """Pods of one GPU each, for the only node of their class: it has 60."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": place, "labels": {"promised": place}}}
    assert (await asking.ask("POST", "/api/v1/nodes", body=node)).status == 201
    ready = {"type": "Ready", "status": "True", "reason": "test", "message": "test"}
    body = {"status": {"allocatable": {"nvidia.com/gpu": str(GPUS)}, "conditions": [ready]}}
    path = f"/api/v1/nodes/{place}/status"
    answer = await asking.ask("PATCH", path, body=body, content_type="application/merge-patch+json")
    assert answer.status == 200, answer.text
    container = {"name": "x", "image": "example/x", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    yield Made(PODS.group, PODS.resource, PODS.kind, {"nodeSelector": {"promised": place}, "containers": [container]})
    replicas.set_policy("version: 1\n")
    await asking.ask("DELETE", f"/api/v1/nodes/{place}")


def policy(place: str, *holders: str, little: str = "", others: int = 0, **times: str) -> str:
    """
    Return a policy that promises a third of the node to each of *holders*, and one GPU to whom *little* is promised.

    It has entries of *others* as well.
    """
    amounts = [*((holder, PROMISED) for holder in holders), *([(little, 1)] if little else [])]
    promised = {
        f"c-{number}": {"user": holder, "nodeClass": "h100", "amounts": {"gpu": gpus}, **times}
        for number, (holder, gpus) in enumerate(amounts, start=1)
    }
    node_class = {"nodes": {"matchLabels": {"promised": place}}, "devices": ["nvidia.com/gpu"]}
    users = {f"nobody-{number}": {"hard": {"pods": number}} for number in range(others)}
    return json.dumps({"version": 1, "users": users, "nodeClasses": {"h100": node_class}, "commitments": promised})


def put_in_force(replicas: Replicas, text: str) -> None:
    """Wait until every replica has the policy, and knows the nodes."""
    replicas.set_policy(text)
    replicas.wait_until_ready()


async def test_together_they_get_all_of_the_nodes_and_the_holder_what_was_promised(
    replicas: Replicas, asking: Asking, place: str, new_person: Callable[[], str], gpus: Made
) -> None:
    holder, other = new_person(), new_person()
    await asyncio.to_thread(put_in_force, replicas, policy(place, holder))

    his, hers = await asyncio.gather(
        asking.create_decided(place, numbered("other", 200), user=other, of=gpus),
        asking.create_decided(place, numbered("holder", 40), user=holder, of=gpus),
    )

    assert statuses(his) + statuses(hers) == {201: GPUS, 403: 240 - GPUS}
    assert statuses(hers)[201] >= PROMISED  # no pod goes, so what holds in the end held at every revision
    assert all("nodeClasses.h100, requested: gpu=1, used: gpu=" in each.message for each in his if each.status == 403)


def has_waited(answer: Answer) -> bool:
    """Whether a pod was neither allowed nor refused, because an edit took longer than a call may."""
    return answer.status == 500 and "try again in a moment" in answer.message


async def all_of(asking: Asking, place: str, beginning: str, owner: str, of: Made) -> list[Answer]:
    return await asking.create_all(place, numbered(beginning, PROMISED), user=owner, of=of)


@pytest.mark.parametrize("is_moved", [False, True], ids=["confirmed", "moved"])
async def test_what_is_promised_in_a_burst_is_there_for_its_holder(  # noqa: PLR0917 - fixtures
    replicas: Replicas, asking: Asking, place: str, new_person: Callable[[], str], gpus: Made, is_moved: bool
) -> None:
    """Nobody takes it between the judgement of the edit and the moment in which every replica goes by it."""
    accepted = 0
    for turn in range(_TURNS):
        former, holder, other = new_person(), new_person(), new_person()
        before = policy(place, former, others=_OTHERS) if is_moved else policy(place, little=former, others=_OTHERS)
        await asyncio.to_thread(put_in_force, replicas, before)
        after = policy(place, holder, little="" if is_moved else former, others=_OTHERS)

        async def in_turn(number: int, owner: str = other, turn: int = turn) -> list[Answer]:
            return [await asking.create(place, f"{turn}-{number}-{each}", user=owner, of=gpus) for each in range(_EACH)]

        body = {"data": {"policy.yaml": after}}
        editing = asyncio.create_task(asking.ask("PATCH", POLICY, body=body, content_type=MERGE))
        await asyncio.sleep(0.2 * turn)
        several = await asyncio.gather(*(in_turn(number) for number in range(_AT_ONCE)))
        edited, his = await editing, [answer for each in several for answer in each]
        while any(map(has_waited, hers := await all_of(asking, place, f"{turn}-holder", holder, gpus))):
            continue

        if edited.status == 200:
            accepted += 1
            assert statuses(hers)[201] + statuses(hers)[409] == PROMISED, (statuses(his), hers[-1].message)
            assert statuses(his)[201] <= GPUS - PROMISED
        assert all(each.status in {201, 403} or has_waited(each) for each in his), statuses(his)
        assert len(await asking.pods(place)) <= GPUS
        await asking.delete_all_pods(place)

    assert accepted


async def test_what_is_not_used_is_free_from_the_second_on_in_which_the_promise_ends(
    replicas: Replicas, asking: Asking, place: str, new_person: Callable[[], str], gpus: Made
) -> None:
    clock, holder, other = SystemClock(), new_person(), new_person()
    await asyncio.to_thread(put_in_force, replicas, policy(place, holder))
    hers = await asking.create_decided(place, numbered("holder", 5), user=holder, of=gpus)
    early = await asking.create_decided(place, numbered("early", 100), user=other, of=gpus)
    assert (statuses(hers), statuses(early)) == ({201: 5}, {201: GPUS - PROMISED, 403: 100 - GPUS + PROMISED})

    end = clock.now().replace(microsecond=0) + timedelta(seconds=5)
    await asyncio.to_thread(replicas.set_policy, policy(place, holder, until=end.isoformat()))
    late: list[Answer] = []
    while 201 not in statuses(late):
        begun = clock.now()
        late = await asking.create_all(place, numbered(f"late-{begun:%M%S%f}", 50), user=other, of=gpus)
        assert 201 not in statuses(late) or clock.now() >= end
        assert 201 in statuses(late) or begun < end, late[-1].message
    rest = await asking.create_all(place, numbered("rest", 50), user=other, of=gpus)

    assert statuses(late)[201] + statuses(rest)[201] == PROMISED - 5
    assert "free: gpu=0" in rest[-1].message
