"""Pods in a class of nodes with a fixed shape: who is refused, warned and let be, over fake ports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, pod, stamped
from webhook.quota.limits import Limit
from webhook.quota.policy import Mode
from webhook.quota.subject import selector_of

FIXED = "memory: 480Gi, gpu: 1}, shape: fixed, devices: [nvidia.com/gpu]"
H100 = f"h100: {{nodes: {{matchLabels: {{gpu: h100}}}}, unit: {{cpu: 8, {FIXED}"
A100 = f"a100: {{nodes: {{matchLabels: {{gpu: a100}}}}, unit: {{cpu: 4, {FIXED}"


def policy(*classes: str, more: str = "") -> str:
    return "version: 1\nnodeClasses:\n" + "".join(f"  {each}}}\n" for each in classes) + more


def asking(cpu: str = "8", memory: str = "480Gi", gpus: int = 1, *, model: str = "h100", label: str = "") -> Json:
    made = pod(labels={"team": label})
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    resources = {"requests": {"cpu": cpu, "memory": memory, **limits}, "limits": limits}
    made["spec"] = {
        "containers": [{"name": "main", "resources": resources}],
        "nodeSelector": {"gpu": model} if model else {},
    }
    return made


async def ask(text: str, body: Json) -> tuple[Answer, Webhook]:
    webhook = Webhook(text)
    return await webhook.ask(body), webhook


async def create(text: str, made: Json, **request: Any) -> Answer:
    return (await ask(text, a_review(object=made, name="pod", **request)))[0]


async def test_a_pod_in_shape_is_allowed_and_one_off_it_is_told_the_ratio_and_what_would_be_in_it() -> None:
    assert (await create(policy(H100), asking())).allowed
    assert (await create(policy(H100), asking("24", "1440Gi", 3))).allowed

    refused = await create(policy(f"{H100}, message: 'ask #gpu'"), asking("4"))
    assert refused.message == (
        "off shape: nodeClasses.h100, requested: gpu=1,requests.cpu=4,requests.memory=480Gi, unit: "
        "gpu=1,requests.cpu=8,requests.memory=480Gi, in shape: gpu=1,requests.cpu=8,requests.memory=480Gi; ask #gpu; "
        "charged to alice (created it)"
    )
    [cause] = refused.response["status"]["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("OffShape", "requests.cpu")
    assert "exceeded quota" not in refused.message


async def test_by_its_mode_a_shape_warns_or_is_only_recorded() -> None:
    said = "off shape nodeClasses.h100: gpu=1,requests.cpu=4,requests.memory=480Gi requested, in shape gpu=1,"
    warned = await create(policy(f"{H100}, mode: warn"), asking("4"))
    assert warned.allowed
    [warning] = warned.response["warnings"]
    assert warning.startswith(said)

    recorded = await create(policy(f"{H100}, mode: audit"), asking("4"))
    assert recorded.allowed
    assert "warnings" not in recorded.response
    assert recorded.response["auditAnnotations"]["tolerated"].startswith(said)


@pytest.mark.parametrize("mode", Mode)
async def test_each_pod_off_shape_is_counted_by_its_mode(mode: Mode) -> None:
    found: list[Limit] = []
    webhook = Webhook(policy(f"{H100}, mode: {mode.value}"))
    webhook.handler = replace(webhook.handler, on_exceeded=found.extend)
    await webhook.ask(a_review(object=asking("4"), name="pod"))
    assert [(each.cap, each.resource, each.mode) for each in found] == [("shape", "requests.cpu", mode)]
    assert [str(selector_of(each.subject)) for each in found] == ["NodeClass In (h100)"]


async def test_a_pod_that_may_run_on_two_classes_has_the_shape_of_each() -> None:
    refused = await create(policy(H100, A100), asking(model=""))
    assert "off shape: nodeClasses.a100" in refused.message
    assert "nodeClasses.h100" not in refused.message
    assert (await create(policy(H100, A100), asking())).allowed
    assert (await create(policy(H100, A100), asking("4", model="a100"))).allowed


async def test_what_is_elsewhere_or_exempt_or_in_a_class_of_any_shape_is_let_be() -> None:
    assert (await create(policy(H100), asking("4", gpus=0, model="none"))).allowed
    assert (await create(policy(H100.replace("fixed", "any")), asking("4"))).allowed
    exempt = "exempt: [{user: alice, reason: tests}]\n"
    assert (await create(policy(H100, more=exempt), asking("4"))).allowed


def update(old: Json, new: Json, resource: str = "pods", **request: Any) -> Json:
    return a_review(resource, "UPDATE", object=stamped(new), oldObject=stamped(old), name="pod", **request)


UPDATES: dict[str, tuple[Json, Json, str]] = {
    "what was there before the shape stays": (asking("4"), asking("4", label="b"), ""),
    "and may come into it": (asking("4"), asking("8"), ""),
    "but not change otherwise": (asking("4"), asking("5"), "requested: gpu=1,requests.cpu=5,"),
    "not by asking for less either": (asking("8"), asking("7"), "requested: gpu=1,requests.cpu=7,"),
    "one that comes into the class has to have its shape": (
        asking("4", model=""),
        asking("4"),
        "requested: gpu=1,requests.cpu=4,",
    ),
}


@pytest.mark.parametrize(("old", "new", "told"), UPDATES.values(), ids=UPDATES)
async def test_an_update_is_judged_if_it_changes_what_is_compared(old: Json, new: Json, told: str) -> None:
    text = policy(H100.replace(", devices: [nvidia.com/gpu]", ""))
    answer = await Webhook(text).validate_only(update(old, new))
    assert answer.allowed is not bool(told)
    assert told in answer.message


@pytest.mark.parametrize(("was", "asked", "is_allowed"), [("9", "8", True), ("8", "7", False)])
async def test_what_a_pod_still_holds_while_it_shrinks_does_not_count(was: str, asked: str, is_allowed: bool) -> None:
    old, new = asking(was), asking(asked)
    for each in (old, new):
        held = {"cpu": was, "memory": "480Gi", "nvidia.com/gpu": "1"}
        each["status"] = {"containerStatuses": [{"name": "main", "resources": {"requests": held}}]}
    answer = await Webhook(policy(H100)).validate_only(update(old, new, "pods/resize"))
    assert answer.allowed is is_allowed


async def test_of_room_and_shape_both_are_told() -> None:
    refused = await create(policy(H100, more="users: {alice: {hard: {cpu: 2}, perPod: {memory: 1Gi}}}\n"), asking("4"))
    assert refused.message.startswith("off shape: nodeClasses.h100, ")
    assert "; larger than quota: users.alice.perPod, requested: requests.memory=480Gi" in refused.message
    assert "; would fit: " in refused.message
