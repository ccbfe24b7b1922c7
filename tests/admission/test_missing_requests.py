"""Pods whose containers do not declare a resource, through the whole request path: refused, tolerated or let alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, pod, stamped
from tests.fakes import FakePolicies
from webhook.ports import Decide
from webhook.quota.decision import Decision
from webhook.quota.reservation import Charge

LIMITED = "defaults: {user: {hard: {cpu: 4, limits.memory: 4Gi}}}\n"
REQUIRED = f"version: 1\nmissing: {{cpu: require, limits.memory: require}}\n{LIMITED}"
CPU, LIMITS = {"requests": {"cpu": "1"}}, {"limits": {"memory": "1Gi"}}
DECLARED = {**CPU, **LIMITS}


def a_pod(*containers: Json, init: tuple[Json, ...] = (), resources: Json | None = None, name: str = "pod") -> Json:
    """Return a pod whose containers, in this order, are called a, b, ..., the init containers x, y, z."""
    document = pod(name)
    document["spec"]["containers"] = [{"name": "abcdef"[at], "resources": each} for at, each in enumerate(containers)]
    if init:
        document["spec"]["initContainers"] = [{"name": "xyz"[at], "resources": each} for at, each in enumerate(init)]
    if resources is not None:
        document["spec"]["resources"] = resources
    return document


async def create(policy: str, document: Json) -> Answer:
    return await Webhook(policy).ask(a_review(object=document))


async def test_a_complete_refusal_names_every_resource_and_container() -> None:
    answer = await create(REQUIRED, a_pod({}, LIMITS, init=({},)))

    clause = (
        "failed quota: defaults.user: must specify limits.memory for: a,x; requests.cpu for: a,b,x; "
        "limited: limits.memory=4Gi,requests.cpu=4"
    )
    assert answer.denied_by == "validate"
    assert answer.response["status"] == {
        "status": "Failure",
        "code": 403,
        "reason": "Forbidden",
        "message": (
            f"{clause}; each of these containers has to declare an amount above 0; charged to alice (created it)"
        ),
        "details": {
            "causes": [
                {
                    "reason": "FieldValueRequired",
                    "message": f"failed quota: defaults.user: must specify {each}",
                    "field": field,
                }
                for field, each in (
                    ("limits.memory", "limits.memory for: a,x; limited: limits.memory=4Gi"),
                    ("requests.cpu", "requests.cpu for: a,b,x; limited: requests.cpu=4"),
                )
            ]
        },
    }


async def test_what_is_required_and_what_is_exceeded_are_told_together() -> None:
    answer = await create(REQUIRED, a_pod({"requests": {"cpu": "5"}}))

    assert answer.message == (
        "failed quota: defaults.user: must specify limits.memory for: a; limited: limits.memory=4Gi; "
        "larger than quota: defaults.user, requested: requests.cpu=5, used: requests.cpu=0, limited: requests.cpu=4, "
        "reserved: requests.cpu=0, free: requests.cpu=4 for user/alice; would fit: requests.cpu=4; "
        "each of these containers has to declare an amount above 0; charged to alice (created it)"
    )


FITTING = {
    "all is declared": a_pod(DECLARED, DECLARED, init=(DECLARED,)),
    "all at pod level": a_pod({}, {}, resources=DECLARED),
    "one at pod level, the other by each container": a_pod(CPU, CPU, resources=LIMITS),
    "more at pod level than its containers request": a_pod(LIMITS, DECLARED, resources={"requests": {"cpu": "2"}}),
}


@pytest.mark.parametrize("document", FITTING.values(), ids=FITTING.keys())
async def test_a_pod_that_declares_what_is_limited_is_allowed(document: Json) -> None:
    answer = await create(REQUIRED, document)

    assert answer.allowed, answer.message


MEMORY = {"requests": {"memory": "1Gi"}}
LACKING: dict[str, tuple[Json, str]] = {
    "an init container": (a_pod(DECLARED, init=(DECLARED, CPU)), "limits.memory for: y"),
    "empty resources": (a_pod({"requests": None, "limits": {}}), "limits.memory for: a; requests.cpu for: a"),
    "a written zero": (
        a_pod({"requests": {"cpu": "0"}, "limits": {"memory": 0}}),
        "limits.memory for: a; requests.cpu",
    ),
    "a zero at pod level": (a_pod(CPU, resources={"limits": {"memory": "0"}}), "limits.memory for: a"),
    "another resource at pod level": (a_pod(LIMITS, DECLARED, resources=MEMORY), "requests.cpu for: a"),
    "nothing but another resource at pod level": (
        a_pod({}, resources=MEMORY),
        "limits.memory for: a; requests.cpu for: a",
    ),
    "what the API server fills in at pod level": (
        a_pod(LIMITS, DECLARED, resources={"requests": {"memory": "1Gi", "cpu": "1"}}),
        "requests.cpu for: a",
    ),
}


@pytest.mark.parametrize(("document", "told"), LACKING.values(), ids=LACKING.keys())
async def test_a_pod_that_lacks_what_is_limited_is_refused(document: Json, told: str) -> None:
    answer = await create(REQUIRED, document)

    assert answer.message.startswith(f"failed quota: defaults.user: must specify {told}"), answer.message


async def test_ephemeral_storage_cannot_be_declared_at_pod_level() -> None:
    policy = "version: 1\nmissing: {ephemeral-storage: require}\ncluster: {hard: {ephemeral-storage: 1Ti}}\n"

    answer = await create(policy, a_pod({}, resources={"requests": {"ephemeral-storage": "1Gi"}}))

    assert "must specify requests.ephemeral-storage for: a" in answer.message


BINDING = {
    "a sum of a person": "defaults: {user: {hard: {cpu: 4}}}",
    "a cap": "defaults: {user: {perPod: {cpu: 4}}}",
    "a pool": "groups: {ml: {pool: {hard: {cpu: 4}}, members: [alice]}}",
    "the cluster": "cluster: {hard: {cpu: 4}}",
    "a scope the pod is in": "cluster: {scoped: [{scopes: [NotTerminating], hard: {cpu: 4}}]}",
}


@pytest.mark.parametrize("limit", BINDING.values(), ids=BINDING.keys())
async def test_any_limit_in_force_for_the_pod_requires(limit: str) -> None:
    answer = await create(f"version: 1\nmissing: {{cpu: require}}\n{limit}\n", a_pod({}))

    assert "must specify requests.cpu for: a; limited: requests.cpu=4" in answer.message


NOT_BINDING = {
    "no limit": "combine: sum",
    "a limit on another resource": "cluster: {hard: {limits.cpu: 4, memory: 1Gi}}",
    "a limit on another person": "users: {bob: {hard: {cpu: 4}}}",
    "a limit that is lifted": "users: {alice: {hard: {cpu: unlimited}}}\ndefaults: {user: {hard: {cpu: 1}}}",
    "an entry that is over": "cluster: {hard: {cpu: 4}, until: 2026-01-01T00:00:00Z}",
    "a scope the pod is not in": "cluster: {scoped: [{scopes: [Terminating], hard: {cpu: 4}}]}",
    "a cap for other objects": "cluster: {perClaim: {cpu: 4}}",
}


@pytest.mark.parametrize("limit", NOT_BINDING.values(), ids=NOT_BINDING.keys())
async def test_nothing_is_required_where_nothing_is_limited(limit: str) -> None:
    answer = await create(f"version: 1\nmissing: {{cpu: require}}\n{limit}\n", a_pod({}))

    assert answer.allowed, answer.message


async def test_a_limit_that_only_warns_or_records_does_so_for_what_is_missing() -> None:
    policy = (
        "version: 1\nmissing: {cpu: require}\n"
        "users: {alice: {hard: {cpu: 4}, mode: warn}}\ncluster: {perPod: {cpu: 4}, mode: audit}\n"
    )

    answer = await create(policy, a_pod({}, CPU))

    warning = "over quota users.alice: must specify requests.cpu for: a"
    recorded = "over quota cluster.perPod: must specify requests.cpu for: a"
    assert answer.allowed
    assert answer.response["warnings"] == [warning]
    assert answer.response["auditAnnotations"]["tolerated"] == f"{recorded}; {warning}"


async def test_of_limits_that_refuse_and_limits_that_warn_the_refusal_names_those_that_refuse() -> None:
    policy = (
        "version: 1\nmissing: {cpu: require}\nusers: {alice: {hard: {cpu: 4}, mode: warn}}\ncluster: {hard: {cpu: 4}}\n"
    )

    answer = await create(policy, a_pod({}))

    assert answer.message.startswith(
        "failed quota: cluster: must specify requests.cpu for: a; limited: requests.cpu=4; "
    )
    assert "users.alice" not in answer.message


# A limit of 0.


ZEROS = ["cpu", "memory", "ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"]


@pytest.mark.parametrize("name", ZEROS)
@pytest.mark.parametrize("bound", ["hard", "perPod"])
async def test_a_limit_of_0_requires_the_resource_without_a_word(name: str, bound: str) -> None:
    full = name if name.startswith("limits.") else f"requests.{name}"

    answer = await create(f"version: 1\ncluster: {{{bound}: {{{name}: 0}}}}\n", a_pod({}))

    entry = "cluster" if bound == "hard" else "cluster.perPod"
    assert answer.message == (
        f"failed quota: {entry}: must specify {full} for: a; limited: {full}=0; no pod may use {full}; "
        "charged to alice (created it)"
    )


@pytest.mark.parametrize("name", ZEROS)
async def test_a_limit_of_0_requires_nothing_if_the_policy_says_to_ignore_it(name: str) -> None:
    answer = await create(f"version: 1\nmissing: {{{name}: ignore}}\ncluster: {{hard: {{{name}: 0}}}}\n", a_pod({}))

    assert answer.allowed, answer.message


async def test_nor_does_one_that_only_warns_refuse() -> None:
    answer = await create("version: 1\ncluster: {hard: {cpu: 0}, mode: warn}\n", a_pod({}))

    assert answer.allowed
    assert answer.response["warnings"] == ["over quota cluster: must specify requests.cpu for: a"]


@pytest.mark.parametrize("limits", ["gpu: 0", "accelerator: 0", "nvidia.com/gpu: 0", "storage: 0", "hugepages-2Mi: 0"])
async def test_a_limit_of_0_on_what_no_pod_uses_undeclared_requires_nothing(limits: str) -> None:
    answer = await create(f"version: 1\ncluster: {{hard: {{{limits}}}}}\n", a_pod({}))

    assert answer.allowed, answer.message


async def test_without_a_word_of_the_policy_nothing_is_required() -> None:
    assert (await create(f"version: 1\n{LIMITED}", a_pod({}))).allowed


# Only new pods.


@pytest.mark.parametrize("resource", ["pods", "pods/resize"])
async def test_an_update_is_not_asked_for_what_it_lacks(resource: str) -> None:
    old = stamped(a_pod({}))
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = {"requests": {"memory": "1Gi"}}

    answer = await Webhook(REQUIRED).validate_only(a_review(resource, "UPDATE", object=new, oldObject=old, name="pod"))

    assert answer.allowed, answer.message


@pytest.mark.parametrize("resource", ["deployments.apps", "persistentvolumeclaims"])
async def test_other_kinds_are_not_asked(resource: str) -> None:
    document: dict[str, Any] = {"metadata": {"name": "x", "namespace": "red", "uid": "uid-of-x"}}

    answer = await Webhook(REQUIRED).ask(a_review(resource, object=document))

    assert answer.allowed, answer.message


async def test_a_dry_run_gets_the_same_refusal() -> None:
    answer = await Webhook(REQUIRED).ask(a_review(object=a_pod({}), dryRun=True))

    assert "must specify" in answer.message


async def test_a_requirement_that_came_while_the_request_waited_binds_it() -> None:
    webhook = Webhook(f"version: 1\n{LIMITED}")
    before = webhook.ledger.transact

    async def required_meanwhile(charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        webhook.policies.policy = FakePolicies.reading(REQUIRED).policy
        return await before(charge, decide, dry_run=dry_run, deadline=deadline)

    webhook.ledger.transact = required_meanwhile  # type: ignore[method-assign]

    answer = await webhook.ask(a_review(object=a_pod({})))

    assert "must specify" in answer.message
    assert list(webhook.index.reservations()) == []
