"""
Live check, check with the policy in files and server dry-run say the same of random manifests.

So does the real create of what makes no pods: workloads, and sessions that run, are not created.

AGREEMENT=1000 takes more of them, AGREEMENT_SEED others.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from tests.cluster.conftest import empty, new_place
from tests.cluster.platforms import NOTEBOOKS, are_intercepted
from tests.cluster.random_manifests import HEAD, Manifest, limits, manifests
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_counts import rules
from tests.replicated.asking import Answer, Asking
from webhook.admission.check_status import CheckStatus, Copies, Item, status_of
from webhook.admission.manifests import Author
from webhook.documents.object_text import RawObject, object_in
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.objects import UserInfo
from webhook.quota.policy import Policy
from webhook.wiring.manifest_check import check

Json = dict[str, Any]

NUMBER = int(os.environ.get("AGREEMENT", "200"))
SEED = int(os.environ.get("AGREEMENT_SEED", "3"))
IN_ONE_STATE = 25
GROUPS = ("people", "system:authenticated")
CHECKS = "/apis/view.userquota.dev/v1alpha1/quotachecks"
WORKLOADS = frozenset(
    {"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "DaemonSet", "Job", "CronJob"}
)
NO_MORE = "it makes no pods now, and needs no more than it has"
OF_CHECKS_ONLY = (
    NO_MORE,
    "the rolling update needs ",
    "its pods are made by a schedule: ",
    "it makes a pod on each node: ",
)
MOVING = re.compile(r"(used|reserved): \S+ ")
"""Amounts that move from reserved to used when the watch shows an object."""


class State:
    """A person whom no one else knows, with limits of their own, and what they have in a namespace of their own."""

    def __init__(self, number: int, place: str) -> None:
        self.user, self.place = f"agreeing-{number}", place
        self.random = Random(f"{SEED} {number}")  # noqa: S311 - test data
        self.entry = limits(self.random)
        self.stored: list[RawObject] = []

    def manifests(self) -> Iterator[Manifest]:
        return manifests(self.random, self.place, IN_ONE_STATE)


@pytest.fixture
def states(running: RunningWebhook) -> Iterator[list[State]]:
    found = [State(number, new_place(running)) for number in range(-(-NUMBER // IN_ONE_STATE))]
    yield found
    for each in found:
        empty(running, each.place)


@pytest.mark.usefixtures("platforms", "view")
async def test_all_ways_to_ask_agree(running: RunningWebhook, states: list[State]) -> None:
    text = HEAD + f"users: {json.dumps({each.user: each.entry for each in states})}\n"
    running.set_policy(text)
    eventually(lambda: are_intercepted(running.cluster, NOTEBOOKS), what=running.output)
    eventually(lambda: "services" in rules(running)[1], what=running.output)
    policy = read_policy([PolicyText("policy.yaml", text)]).policy
    assert policy is not None
    came: Counter[tuple[str, bool]] = Counter()
    async with Asking(running.cluster) as asking:
        for state in states:
            for manifest in state.manifests():
                fits = await agree(asking, policy, state, manifest)
                came[manifest.body["kind"], fits] += 1
    assert sum(came.values()) >= NUMBER
    for kind in {kind for kind, _ in came}:
        assert came[kind, True], f"no {kind} fits"
        assert came[kind, False], f"every {kind} fits"


async def agree(asking: Asking, policy: Policy, state: State, manifest: Manifest) -> bool:
    """Ask in every way, and create the object where its own kind costs; return whether it fits."""
    live = await asked_live(asking, state, manifest)
    by_policy = await asked_offline(policy, state, manifest)
    what = f"{state.user} {json.dumps(state.entry)} {json.dumps(manifest)}"
    assert told(live) == told(by_policy), what
    fits = live.verdict == "fits" or NO_MORE in live.texts
    as_dry_run = await post(asking, state, manifest, f"{manifest.path}?dryRun=All")
    agrees(live, fits, as_dry_run, what)
    if manifest.body["kind"] not in WORKLOADS and not holds_room(manifest.body):
        created = await post(asking, state, manifest, manifest.path)
        agrees(live, fits, created, what)
        if created.status == 201:
            state.stored.append(object_in(created.text.encode(), source="saved"))
    return fits


def holds_room(body: Json) -> bool:
    """Whether room is held for pods of the object, which never come here; a cluster that was saved has none held."""
    return body["kind"] == NOTEBOOKS.kind and "annotations" not in body["metadata"]


def agrees(said: Item, fits: bool, answer: Answer, what: str) -> None:
    """An answer of the API server says what a check has *said*: an early verdict on a workload in a warning."""
    texts = [MOVING.sub("", each) for each in said.texts if not each.startswith(OF_CHECKS_ONLY)]
    if fits:
        assert answer.status == 201, (what, said, answer)
        assert sorted(MOVING.sub("", each) for each in answer.warnings) == sorted(texts), (what, said, answer)
    elif said.kind in WORKLOADS:
        assert answer.status == 201, (what, said, answer)
        copies = said.copies
        assert isinstance(copies, Copies), (what, said)
        number = f"{copies.fit} of {copies.wanted} {copies.called} fit now: "
        forms = (number, *([] if copies.fit else [f"no {copies.called} fit: "]))
        assert any(form in each for form in forms for each in answer.warnings), (what, said, answer)
    else:
        assert answer.status == 403, (what, said, answer)
        assert texts[0] in MOVING.sub("", answer.message), (what, said, answer)


def told(item: Item) -> Json:
    """Return what is said, without what moves and without the place of the policy."""
    found: Json = msgspec.to_builtins(item)
    found["texts"] = [MOVING.sub("", each) for each in item.texts]
    for row in found.get("limits", ()):
        for moving in ("place", "used", "reserved"):
            del row[moving]
    return {**found, "place": ""}


async def asked_live(asking: Asking, state: State, manifest: Manifest) -> Item:
    spec = {"namespace": state.place, "objects": [manifest.body]}
    body = {"apiVersion": "view.userquota.dev/v1alpha1", "kind": "QuotaCheck", "spec": spec}
    answer = await asking.ask("POST", CHECKS, body=body, acting_as=state.user, in_groups=GROUPS)
    assert answer.status == 201, answer
    status = msgspec.convert(json.loads(answer.text)["status"], CheckStatus)
    return status.items[0]


async def asked_offline(policy: Policy, state: State, manifest: Manifest) -> Item:
    written = object_in(json.dumps(manifest.body).encode(), source="m.yaml")
    author = Author(UserInfo(state.user, GROUPS), state.place)
    came = await check([written], author, policy, state.stored, datetime.fromtimestamp(time.time(), UTC))
    return status_of(came).items[0]


async def post(asking: Asking, state: State, manifest: Manifest, path: str) -> Answer:
    return await asking.ask("POST", path, body=manifest.body, acting_as=state.user, in_groups=GROUPS)
