"""`attribution.payer: lastEditor`: who edits a workload pays for what it makes, called as by an API server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.sessions import WITH_NOTEBOOKS
from tests.admission.asking import Answer, Json, Webhook, a_review, stamped
from tests.admission.test_sessions import dask, notebook, scaling
from tests.fakes import FakePolicies
from webhook.quota.subject import user

POLICY = """version: 1
defaults: {user: {hard: {pods: 20, sessions: 1}}}
attribution: {payer: PAYER, delegates: [{user: portal, owner: [{label: user}]}], trustedControllers: [ci/deployer]}
exempt: [{user: rita, reason: repairs}, {user: erin, reason: over, until: 2026-01-01T00:00:00Z}]
sessions: {presets: [kubeflow-notebook]}
"""
PORTAL_OF_THE_NAMESPACE = "system:serviceaccount:red:default"
ROLLBACK = "deprecated.deployment.rollback.to"


def deployment(**spec: Any) -> Json:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "one"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "red", "uid": "uid-of-web", "resourceVersion": "5"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def with_image(image: str, **spec: Any) -> Json:
    changed = deployment(**spec)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return changed


def noted(document: Json, **annotations: str) -> Json:
    changed = copy.deepcopy(document)
    noted = changed["metadata"].setdefault("annotations", {})
    noted |= {ROLLBACK if key == "rollback" else key: text for key, text in annotations.items()}
    return changed


async def ask(
    new: Json,
    by: str,
    *,
    old: Json | None = None,
    payer: str = "lastEditor",
    resource: str = "deployments.apps",
    groups: tuple[str, ...] = (),
    webhook: Webhook | None = None,
) -> Answer:
    before = stamped(deployment() if old is None else old)
    sent = stamped(new)
    asked = webhook or Webhook(POLICY.replace("PAYER", payer), kinds=WITH_NOTEBOOKS)
    name = new["metadata"]["name"]
    return await asked.ask(a_review(resource, "UPDATE", by, groups, object=sent, oldObject=before, name=name))


CRON_JOB = {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}
CHANGES: dict[str, tuple[Json, Json, bool]] = {
    "another image": (deployment(), with_image("two"), True),
    "fewer replicas and another image": (deployment(), with_image("two", replicas=1), True),
    "more replicas": (deployment(), deployment(replicas=4), True),
    "fewer replicas": (deployment(), deployment(replicas=1), False),
    "paused": (deployment(), deployment(paused=True), False),
    "a label": (deployment(), noted(deployment(), note="x"), False),
    "a field that is null": (deployment(), deployment(minReadySeconds=None), False),
    "the history": (deployment(), deployment(revisionHistoryLimit=1), False),
    "a larger surge": (deployment(), deployment(strategy={"rollingUpdate": {"maxSurge": 9}}), True),
    "a field of which nothing is known": (deployment(), deployment(dreams=True), True),
    "an older template, which the controller is to take": (deployment(), noted(deployment(), rollback="2"), True),
    "while the controller is about to": (noted(deployment(), rollback="2"), noted(deployment(), rollback="2"), False),
    "more runs": (deployment(schedule="@daily"), deployment(schedule="@hourly"), True),
    "the template of jobs": (
        deployment(template=None, jobTemplate=CRON_JOB),
        deployment(template=None, jobTemplate={"spec": {**CRON_JOB["spec"], "backoffLimit": 9}}),
        True,
    ),
    "no longer suspended": (deployment(suspend=True), deployment(suspend=False), True),
    "suspended": (deployment(), deployment(suspend=True), False),
}


@pytest.mark.parametrize(("old", "new", "is_edit"), CHANGES.values(), ids=CHANGES.keys())
async def test_who_changes_what_is_made_or_asks_for_more_pays_from_then_on(
    old: Json, new: Json, *, is_edit: bool
) -> None:
    answer = await ask(new, "bob", old=old)
    assert answer.stamp["userquota.dev/owner"] == ("bob" if is_edit else "alice"), answer.message


@pytest.mark.parametrize("payer", ["maker", "lastEditor"])
async def test_by_default_the_maker_pays(payer: str) -> None:
    answer = await ask(with_image("two"), "bob", payer=payer, groups=("ml",))
    stamp = {"userquota.dev/owner": "bob", "userquota.dev/groups": '["ml"]'} if payer == "lastEditor" else None
    assert answer.stamp == (stamp or {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"})


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("system:serviceaccount:kube-system:deployment-controller", ()),
        ("system:kube-controller-manager", ()),
        ("system:serviceaccount:ci:deployer", ()),
        ("system:serviceaccount:argocd:controller", ()),
        (PORTAL_OF_THE_NAMESPACE, ()),
        ("portal", ()),
        ("rita", ()),
        ("root", ("system:masters",)),
    ],
    ids=["a controller", "all", "a trusted one", "a robot", "an account", "a delegate", "an exempt one", "a master"],
)
async def test_nobody_but_a_person_becomes_the_payer(by: str, groups: tuple[str, ...]) -> None:
    answer = await ask(with_image("two", replicas=9), by, groups=groups)
    assert answer.stamp["userquota.dev/owner"] == "alice"


async def test_an_exemption_that_has_ended_exempts_nobody() -> None:
    assert (await ask(with_image("two"), "erin")).stamp["userquota.dev/owner"] == "erin"


async def test_a_pod_keeps_its_payer() -> None:
    old = {**deployment(), "kind": "Pod", "spec": {"containers": [{"name": "main", "image": "one"}]}}
    new = {**old, "spec": {"containers": [{"name": "main", "image": "two"}]}}
    assert (await ask(new, "bob", old=old, resource="pods")).stamp["userquota.dev/owner"] == "alice"


async def test_who_makes_a_session_larger_or_starts_it_has_it_and_needs_the_room() -> None:
    stopped = {"kubeflow-resource-stopped": "now"}
    for old, new, owner in (
        (notebook("1"), notebook("2"), "bob"),
        (notebook("1", annotations=stopped), notebook("1"), "bob"),
        (notebook("1"), notebook("1", annotations=stopped), "alice"),
        (notebook("2"), notebook("2", annotations={"note": "x"}), "alice"),
    ):
        answer = await ask(new, "bob", old=old, resource="notebooks.kubeflow.org")
        assert answer.stamp["userquota.dev/owner"] == owner, answer.message

    webhook = Webhook(POLICY.replace("PAYER", "lastEditor"), kinds=WITH_NOTEBOOKS)
    webhook.shows("his", {"sessions": 10**9}, owner="bob")
    assert webhook.held(user("bob"), "sessions") == 10**9
    refused = await ask(notebook("2"), "bob", old=notebook("1"), resource="notebooks.kubeflow.org", webhook=webhook)
    assert "sessions" in refused.message
    assert "charged to bob (changed it last)" in refused.message


async def test_the_scale_of_another_persons_session_is_left_alone() -> None:
    asked = dask(owner="bob")
    asked.policies.policy = FakePolicies.reading(POLICY.replace("PAYER", "lastEditor")).policy
    refused = await asked.validate_only(scaling(2, 3))
    assert refused.message.endswith("change the object instead of its scale: kubectl edit daskclusters d -n red")
    assert (await asked.validate_only(scaling(3, 2))).allowed
