"""A review from object to response, with real policy text and the exact messages for users and programs."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, pod, request_of, stamped
from tests.fakes import FakePolicies
from webhook.admission import review
from webhook.admission.handler import AdmissionHandler
from webhook.admission.review import ReviewError
from webhook.attribution.rules import Attribution
from webhook.kinds.registry import KINDS
from webhook.ledger.memory import StandaloneLedger
from webhook.ports import READY, Condition, Decide, UnavailableError
from webhook.quota.decision import Decision
from webhook.quota.limits import Limit
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import Mode
from webhook.quota.promises import MarkedEdit
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import CREATED, Charge, Reservation
from webhook.quota.subject import Payer, group, tenant, user

CORE = 10**9
CPU = "requests.cpu"

POLICY = """
version: 1
defaults:
  user: {hard: {cpu: 4, pods: 3}, perPod: {cpu: 2}}
  serviceAccount: {hard: {cpu: 1}}
  unattributed: {hard: {cpu: 500m}}
users:
  wanda: {hard: {cpu: 1}, mode: warn}
  audrey: {hard: {cpu: 1}, mode: audit}
  ulysses: {hard: {cpu: unlimited, pods: unlimited}, perPod: {cpu: unlimited}}
  ursula: {hard: {cpu: 100, pods: 100}, perPod: {cpu: 100}, until: 2026-11-01T12:00:10Z}
groups:
  ml: {pool: {hard: {cpu: 5}}, members: [mia]}
tenants:
  research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 3}}
cluster: {hard: {memory: 64Gi}}
"""


@pytest.fixture
def webhook() -> Webhook:
    return Webhook(POLICY)


def create(
    name: str = "pod", cpu: str = "1", by: str = "alice", groups: tuple[str, ...] = (), **request: object
) -> Json:
    return a_review("pods", "CREATE", by, groups, object=pod(name, cpu), **request)


def resize(to: str, was: str = "1", *, name: str = "pod", owner: str = "alice", base: str = "5") -> Json:
    old, new = (stamped(pod(name, cpu, resourceVersion=base), owner) for cpu in (was, to))
    return a_review("pods/resize", "UPDATE", owner, object=new, oldObject=old, name=name)


def broken(raw: object, *, path: str = "containers") -> Json:
    body = create()
    body["request"]["object"]["spec"] = {path: [{"name": "main", "resources": raw}]}
    return body


# Complete responses.


async def test_an_allowed_request_records_payer_and_amounts_in_the_audit_log(webhook: Webhook) -> None:
    answer = await webhook.ask(create(cpu="1500m"))

    assert answer.response == {
        "uid": "call-1",
        "allowed": True,
        "auditAnnotations": {
            "owner": "alice",
            "found-by": "created it",
            "requested": "count/pods=1,pods=1,requests.cpu=1500m",
        },
    }
    assert webhook.held(user("alice"), CPU) == 1500 * CORE // 1000


async def test_a_complete_denial(webhook: Webhook) -> None:
    webhook.shows("old", {"pods": CORE, CPU: 2 * CORE})
    await webhook.ask(create("in-flight", "1"))

    answer = await webhook.ask(create(cpu="2"))

    clause = (
        "exceeded quota: defaults.user, requested: requests.cpu=2, used: requests.cpu=2, limited: requests.cpu=4, "
        "reserved: requests.cpu=1, free: requests.cpu=1 for user/alice"
    )
    assert answer.response == {
        "uid": "call-1",
        "allowed": False,
        "status": {
            "status": "Failure",
            "code": 403,
            "reason": "Forbidden",
            "message": (
                f"{clause}; would fit: requests.cpu=1; requests.cpu=1 reserved for requests under way, "
                "free again in about 40 s if they fail; charged to alice (created it)"
            ),
            "details": {"causes": [{"reason": "QuotaExceeded", "message": clause, "field": "requests.cpu"}]},
        },
        "auditAnnotations": {
            "owner": "alice",
            "found-by": "created it",
            "requested": "count/pods=1,pods=1,requests.cpu=2",
        },
    }
    assert webhook.held(user("alice"), CPU) == 3 * CORE


async def test_a_denial_names_every_limit_in_the_order_of_the_policy(webhook: Webhook) -> None:
    webhook.shows("a", {"pods": CORE, CPU: CORE})
    webhook.shows("b", {"pods": CORE, CPU: CORE})
    webhook.shows("c", {"pods": CORE, CPU: CORE})
    webhook.shows("of-mia", {CPU: 3 * CORE}, owner="mia")

    answer = await webhook.ask(create(cpu="3", groups=("ml",)))

    assert answer.message == (
        "larger than quota: defaults.user.perPod, requested: requests.cpu=3, limited: requests.cpu=2 for one pod; "
        "also over quota: defaults.user, requested: pods=1, used: pods=3, limited: pods=3, "
        "reserved: pods=0, free: pods=0 for user/alice; "
        "also over quota: defaults.user, requested: requests.cpu=3, used: requests.cpu=3, limited: requests.cpu=4, "
        "reserved: requests.cpu=0, free: requests.cpu=1 for user/alice; "
        "also over quota: groups.ml.pool, requested: requests.cpu=3, used: requests.cpu=3, limited: requests.cpu=5, "
        "reserved: requests.cpu=0, free: requests.cpu=2 for group/ml; "
        "would fit: nothing until a pod ends, and never more than requests.cpu=2; charged to alice (created it)"
    )
    causes = answer.response["status"]["details"]["causes"]
    assert [cause["field"] for cause in causes] == [CPU, "pods", CPU, CPU]
    assert [cause["reason"] for cause in causes] == ["NeverFits", "QuotaExceeded", "QuotaExceeded", "QuotaExceeded"]


REFUSALS: dict[str, tuple[Json, str]] = {
    "a cap for one pod": (
        create(cpu="2001m"),
        (
            "larger than quota: defaults.user.perPod, requested: requests.cpu=2001m, limited: requests.cpu=2 for one "
            "pod; would fit: requests.cpu=2000m; charged to alice (created it)"
        ),
    ),
    "a service account": (
        create(cpu="2", by="system:serviceaccount:ci:runner"),
        (
            "larger than quota: defaults.serviceAccount, requested: requests.cpu=2, used: requests.cpu=0, "
            "limited: requests.cpu=1, reserved: requests.cpu=0, free: requests.cpu=1 "
            "for serviceaccounts/ci; would fit: requests.cpu=1; "
            "charged to system:serviceaccount:ci:runner (service account)"
        ),
    ),
    "a pod that requests an absurd amount": (
        create(cpu="9e300", by="ulysses", groups=("ml",)),
        (
            "larger than quota: groups.ml.pool, requested: requests.cpu=9e300, used: requests.cpu=0, "
            "limited: requests.cpu=5, reserved: requests.cpu=0, free: requests.cpu=5 for group/ml; "
            "would fit: requests.cpu=5; charged to ulysses (created it)"
        ),
    ),
}


@pytest.mark.parametrize(("body", "message"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_denial_has_exactly_this_message(webhook: Webhook, body: Json, message: str) -> None:
    answer = await webhook.ask(body)

    assert (answer.denied_by, answer.message) == ("validate", message)
    assert answer.response["status"]["code"] == 403
    assert list(webhook.index.reservations()) == []


async def test_an_object_without_an_owner_is_bound_by_the_unattributed_limits(webhook: Webhook) -> None:
    made_for = webhook.owners.put("ReplicaSet", "old")
    body = create(by="system:serviceaccount:kube-system:replicaset-controller")
    body["request"]["object"]["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "old", "uid": made_for.uid, "controller": True}
    ]

    answer = await webhook.ask(body)

    assert answer.message == (
        "larger than quota: defaults.unattributed, requested: requests.cpu=1, used: requests.cpu=0, "
        "limited: requests.cpu=500m, reserved: requests.cpu=0, free: requests.cpu=500m for user/system:unattributed; "
        "would fit: requests.cpu=500m; charged to system:unattributed (ReplicaSet old has no owner)"
    )


async def test_a_user_without_an_entry_or_default_is_bound_by_shared_limits() -> None:
    webhook = Webhook("version: 1\ncluster: {hard: {cpu: 2}}\n")

    assert (await webhook.ask(create("a", "2"))).allowed
    answer = await webhook.ask(create("b", "1", by="bob"))

    assert answer.message == (
        "exceeded quota: cluster, requested: requests.cpu=1, used: requests.cpu=0, limited: requests.cpu=2, "
        "reserved: requests.cpu=2, free: requests.cpu=0 for cluster; would fit: requests.cpu=0; "
        "requests.cpu=2 reserved for requests under way, free again in about 40 s if they fail; "
        "charged to bob (created it)"
    )


@pytest.mark.parametrize("combine", ["most-restrictive", "max"])
async def test_a_refusal_ends_with_what_the_admins_say(combine: str) -> None:
    limited = "hard: {cpu: 1}, message: ask in the channel, link: https://wiki.test/quota"
    webhook = Webhook(f"version: 1\ncombine: {combine}\ngroups: {{ml: {{perMember: {{{limited}}}}}}}\n")

    answer = await webhook.ask(create(cpu="2", groups=("ml",)))

    assert answer.message.endswith("; ask in the channel, see https://wiki.test/quota; charged to alice (created it)")


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (0, "nothing until a pod is deleted (those that have ended count, too); "),
        (1, "nothing until a pod is deleted: delete finished pods (1 of 2 no longer run); "),
        (2, "nothing until a pod is deleted: delete finished pods (2 of 2 no longer run); "),
    ],
)
async def test_finished_pods_are_told_where_stored_pods_are_limited(ended: int, told: str) -> None:
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {count/pods: 2}}}\n")
    for number in range(2):
        runs = {"pods": CORE, CPU: CORE} if number >= ended else {}
        webhook.shows(f"pod-{number}", {"count/pods": CORE, **runs})
        webhook.shows(f"his-{number}", {"count/pods": CORE}, owner="bob")

    answer = await webhook.ask(create())

    assert f"would fit: {told}" in answer.message


# Modes.


async def test_an_entry_that_warns_allows_and_warns_the_user_and_the_audit_log(webhook: Webhook) -> None:
    answer = await webhook.ask(create(cpu="2", by="wanda"))

    warning = "over quota users.wanda: requests.cpu requested 2, free 1 of 1"
    assert answer.response == {
        "uid": "call-1",
        "allowed": True,
        "warnings": [warning],
        "auditAnnotations": {
            "owner": "wanda",
            "found-by": "created it",
            "requested": "count/pods=1,pods=1,requests.cpu=2",
            "tolerated": warning,
        },
    }
    assert webhook.held(user("wanda"), CPU) == 2 * CORE


async def test_an_entry_that_audits_allows_and_records_in_the_audit_log_only(webhook: Webhook) -> None:
    answer = await webhook.ask(create(cpu="2", by="audrey"))

    assert answer.allowed
    assert "warnings" not in answer.response
    assert answer.response["auditAnnotations"]["tolerated"] == (
        "over quota users.audrey: requests.cpu requested 2, free 1 of 1"
    )


async def test_a_limit_that_only_warns_does_not_soften_one_that_enforces(webhook: Webhook) -> None:
    answer = await webhook.ask(create(cpu="6", by="wanda", groups=("ml",)))

    assert not answer.allowed
    assert "users.wanda" not in answer.message
    assert answer.message.startswith("larger than quota: defaults.user.perPod, ")
    assert "groups.ml.pool" in answer.message


async def test_unlimited_lifts_the_defaults_and_no_more(webhook: Webhook) -> None:
    assert (await webhook.ask(create("a", "1000", by="ulysses"))).allowed
    assert not (await webhook.ask(create("b", "6", by="ulysses", groups=("ml",)))).allowed


async def test_an_entry_ends_at_its_second(webhook: Webhook) -> None:
    assert (await webhook.ask(create("a", "50", by="ursula"))).allowed

    webhook.clock.wall += timedelta(seconds=10)

    assert (await webhook.ask(create("b", "1", by="ursula"))).message.startswith("exceeded quota: defaults.user, ")


# Which subjects are charged.


async def test_members_that_only_the_policy_lists_share_the_pool(webhook: Webhook) -> None:
    for name in ("a", "b"):
        assert (await webhook.ask(create(name, "2", by="mia"))).allowed

    answer = await webhook.ask(create("c", "2", groups=("ml",)))

    assert "reserved: requests.cpu=4, free: requests.cpu=1 for group/ml" in answer.message
    assert webhook.held(group("ml"), CPU) == 4 * CORE


async def test_a_tenant_is_found_by_the_labels_of_the_namespace(webhook: Webhook) -> None:
    webhook.namespaces.labels_by_name["red"] = {"team": "research"}
    assert (await webhook.ask(create("a", "2"))).allowed

    answer = await webhook.ask(create("b", "2", by="bob"))

    assert answer.message == (
        "exceeded quota: tenants.research, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=3, "
        "reserved: requests.cpu=2, free: requests.cpu=1 for tenant/research; would fit: requests.cpu=1; "
        "requests.cpu=2 reserved for requests under way, free again in about 40 s if they fail; "
        "charged to bob (created it)"
    )
    assert webhook.held(tenant("research"), CPU) == 2 * CORE


async def test_concurrent_requests_are_allowed_up_to_the_limit(webhook: Webhook) -> None:
    answers = await asyncio.gather(*(webhook.ask(create(f"pod-{number}", "1")) for number in range(50)))

    assert sum(answer.allowed for answer in answers) == 3  # pods: 3
    assert webhook.held(user("alice"), "pods") == 3 * CORE


async def test_the_same_call_twice_is_charged_once(webhook: Webhook) -> None:
    first, second = await webhook.ask(create(cpu="2")), await webhook.ask(create(cpu="2"))

    assert (first.allowed, second.response) == (True, first.response)
    assert webhook.held(user("alice"), CPU) == 2 * CORE


@pytest.mark.parametrize("cpu", ["2", "3"], ids=["what fits", "what does not"])
async def test_a_dry_run_is_answered_alike_and_holds_nothing(webhook: Webhook, cpu: str) -> None:
    tried = await webhook.ask(create(cpu=cpu, dryRun=True))

    assert list(webhook.index.reservations()) == []
    assert (await webhook.ask(create(cpu=cpu))).response == tried.response


# Updates.


async def test_a_growth_within_the_limit_is_held_as_the_whole(webhook: Webhook) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: CORE})

    assert (await webhook.validate_only(resize("2"))).allowed

    assert webhook.held(user("alice"), CPU) == 2 * CORE


async def test_a_reservation_names_its_attempt(webhook: Webhook) -> None:
    await webhook.ask(create("new", "1"))
    await webhook.validate_only(resize("2", base="1234567890123"))

    cost = (("count/pods", CORE), ("pods", CORE), (CPU, CORE))
    scopes = ("NotBestEffort", "PriorityClass", "NotTerminating")
    assert list(webhook.index.reservations()) == [
        Reservation(ObjectKey("pods", "red", "new"), "uid-of-new", CREATED, Payer("alice"), cost, scopes),
        Reservation(
            ObjectKey("pods", "red", "pod"),
            "uid-of-pod",
            1234567890123,
            Payer("alice"),
            (*cost[:2], (CPU, 2 * CORE)),
            scopes,
        ),
    ]


async def test_a_growth_over_the_limit_is_refused_with_what_it_adds(webhook: Webhook) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: CORE})
    webhook.shows("other", {"pods": CORE, CPU: 2 * CORE + CORE // 2})

    answer = await webhook.validate_only(resize("2"))

    assert answer.message == (
        "exceeded quota: defaults.user, requested: requests.cpu=1, used: requests.cpu=3500m, limited: requests.cpu=4, "
        "reserved: requests.cpu=0, free: requests.cpu=500m for user/alice; "
        "would fit: requests.cpu=1500m in all (now requests.cpu=1); charged to alice (stamped when it was created)"
    )


async def test_a_growth_over_the_cap_for_one_pod_is_refused(webhook: Webhook) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: CORE})

    assert (await webhook.validate_only(resize("2500m"))).message == (
        "larger than quota: defaults.user.perPod, requested: requests.cpu=2500m, limited: requests.cpu=2 for one pod; "
        "would fit: requests.cpu=2; charged to alice (stamped when it was created)"
    )


@pytest.mark.parametrize("to", ["10", "9", "1"], ids=["unchanged", "smaller", "within the limit again"])
async def test_a_change_that_does_not_grow_is_allowed_over_every_limit(webhook: Webhook, to: str) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: 10 * CORE})
    webhook.shows("other", {"pods": CORE, CPU: 90 * CORE})

    assert (await webhook.validate_only(resize(to, was="10"))).allowed
    assert list(webhook.index.reservations()) == []


async def test_a_change_that_shrinks_and_grows_is_decided_by_what_grows(webhook: Webhook) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: 10 * CORE})
    body = resize("9", was="10")
    body["request"]["object"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = "65Gi"

    assert (await webhook.validate_only(body)).message == (
        "larger than quota: cluster, requested: requests.memory=65Gi, used: requests.memory=0, "
        "limited: requests.memory=64Gi, reserved: requests.memory=0, free: requests.memory=64Gi for cluster; "
        "would fit: requests.memory=64Gi; charged to alice (stamped when it was created)"
    )


async def test_what_nobody_owns_is_adopted_without_a_question_of_room(webhook: Webhook) -> None:
    webhook.shows("pod", {"pods": CORE, CPU: 2 * CORE}, owner="system:unattributed")
    webhook.shows("of-bob", {"pods": CORE, CPU: 4 * CORE}, owner="bob")
    made_for = webhook.owners.put("ReplicaSet", "web", owner="bob")
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": made_for.uid, "controller": True}
    old = stamped(pod(cpu="2"), "system:unattributed")
    new = copy.deepcopy(old)
    new["metadata"]["ownerReferences"] = [owner]
    by = "system:serviceaccount:kube-system:replicaset-controller"

    answer = await webhook.ask(a_review("pods", "UPDATE", by, object=new, oldObject=old, name="pod"))

    assert answer.allowed
    assert answer.stamp["userquota.dev/owner"] == "system:unattributed"
    assert list(webhook.index.reservations()) == []


# What cannot be counted.

UNCOUNTABLE: dict[str, tuple[object, str]] = {
    "no quantity": (
        {"requests": {"cpu": "1Q"}},
        (
            "spec.containers[0].resources.requests.cpu: invalid quantity '1Q': "
            "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"
        ),
    ),
    "negative": (
        {"requests": {"cpu": "-1"}},
        "spec.containers[0].resources.requests.cpu: invalid quantity '-1': it must not be negative",
    ),
    "an exponent without an end": (
        {"limits": {"memory": "1e1000000000"}},
        "spec.containers[0].resources.limits.memory: invalid quantity '1e1000000000': its exponent is above 400",
    ),
    "a million digits": (
        {"requests": {"cpu": "9" * 10**6}},
        (
            "spec.containers[0].resources.requests.cpu: "
            "invalid quantity '9999999999999999999999999999999999999...': it is longer than 512 characters"
        ),
    ),
    "digits of another script": (
        {"requests": {"cpu": "\uff11"}},
        (
            "spec.containers[0].resources.requests.cpu: invalid quantity '\uff11': "
            "only ASCII digits and suffixes are allowed"
        ),
    ),
    "a list": (
        {"requests": {"cpu": ["1"]}},
        """spec.containers[0].resources.requests.cpu: invalid quantity '["1"]': expected a string or a number""",
    ),
    "requests that are a list": (
        {"requests": []},
        """spec.containers[0].resources: invalid quantity '{"requests":[]}': expected quantities by resource name""",
    ),
    "resources that are a text": (
        "plenty",
        """spec.containers[0].resources: invalid quantity '"plenty"': expected quantities by resource name""",
    ),
}


@pytest.mark.parametrize(("resources", "why"), UNCOUNTABLE.values(), ids=UNCOUNTABLE.keys())
async def test_an_uncountable_object_is_denied_with_the_field(webhook: Webhook, resources: object, why: str) -> None:
    answer = await webhook.ask(broken(resources))

    assert (answer.denied_by, answer.message) == ("validate", f"cannot be charged: {why}")
    assert answer.response["status"]["code"] == 403
    assert answer.response["auditAnnotations"] == {"owner": "alice", "found-by": "created it"}


NO_UTF_8 = {
    "in an amount": (
        '{"requests":{"cpu":"BYTE"}}',
        (
            "spec.containers[0].resources.requests.cpu: invalid quantity '\ufffd': "
            "only ASCII digits and suffixes are allowed"
        ),
    ),
    "in the name of a resource": (
        '{"requests":{"BYTE":"1"}}',
        (
            """spec.containers[0].resources: invalid quantity '{"requests":{"\ufffd":"1"}}': """
            "expected quantities by resource name"
        ),
    ),
    "where there should be a list": (
        '["BYTE"]',
        """spec.containers[0].resources: invalid quantity '["\ufffd"]': expected quantities by resource name""",
    ),
}


@pytest.mark.parametrize(("raw", "why"), NO_UTF_8.values(), ids=NO_UTF_8.keys())
async def test_invalid_utf_8_is_denied_with_the_field(webhook: Webhook, raw: str, why: str) -> None:
    """Fields that are not needed to find the owner stay undecoded until usage is computed."""
    body = a_review("pods", "CREATE", object=stamped(broken("RESOURCES")["request"]["object"]))
    text = json.dumps(body).replace('"RESOURCES"', raw).encode().replace(b"BYTE", b"\xff")

    response = await webhook.validate(review.decode(text))

    assert response["status"]["message"] == f"cannot be charged: {why}"


async def test_init_containers_count_too(webhook: Webhook) -> None:
    body = create(cpu="1")
    body["request"]["object"]["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "3"}}}]

    assert "requested: requests.cpu=3" in (await webhook.ask(body)).message


async def test_a_stored_uncountable_object_cannot_grow(webhook: Webhook) -> None:
    body = resize("2")
    body["request"]["oldObject"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "much"}}

    assert (await webhook.validate_only(body)).message.startswith("cannot be charged: spec.containers[0].")


# No decision is possible.


async def test_while_the_watch_is_behind_no_decision_is_made(webhook: Webhook) -> None:
    webhook.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    for cpu in ("1", "1000"):
        with pytest.raises(UnavailableError, match="the pods are not all known yet"):
            await webhook.ask(create(cpu=cpu))


NODE = "system:node:n1"
PROMISED = """
version: 1
nodeClasses: {fast: {nodes: {matchLabels: {cpu: fast}}}}
commitments: {c-1: {user: bob, nodeClass: fast, amounts: {cpu: 3}}}
"""


async def test_while_it_is_not_known_what_nodes_have_no_pod_is_decided_on_where_a_part_was_promised() -> None:
    webhook = Webhook(PROMISED)
    webhook.capacity.error = UnavailableError("nodes", "the nodes are not all known yet")
    fast, elsewhere = create(), create()
    fast["request"]["object"]["spec"]["nodeSelector"] = {"cpu": "fast"}
    elsewhere["request"]["object"]["spec"]["nodeSelector"] = {"cpu": "slow"}

    with pytest.raises(UnavailableError, match="the nodes are not all known yet"):
        await webhook.ask(fast)
    assert list(webhook.index.reservations()) == []
    assert (await webhook.ask(elsewhere)).allowed

    webhook.capacity.error = None
    webhook.capacity.amounts = {"requests.cpu": 4 * NANOS}
    assert (await webhook.ask(fast)).allowed


CLASSES = "version: 1\nnodeClasses: {fast: {nodes: {matchLabels: {cpu: fast}}}}\n"


@pytest.mark.parametrize("policy", [PROMISED, CLASSES], ids=["something is promised", "nothing is promised yet"])
async def test_while_what_is_promised_is_being_edited_no_pod_of_a_class_is_decided_on(policy: str) -> None:
    webhook = Webhook(policy)
    fast, elsewhere = create(), create(name="elsewhere")
    fast["request"]["object"]["spec"]["nodeSelector"] = {"cpu": "fast"}
    elsewhere["request"]["object"]["spec"]["nodeSelector"] = {"cpu": "slow"}
    edit = MarkedEdit("quotas", "uid", 5, was_part=True)
    token = await webhook.ledger.mark(edit, since=None, deadline=webhook.clock.monotonic() + 5)

    asking = asyncio.create_task(webhook.ask(fast))
    assert (await webhook.ask(elsewhere)).allowed
    await asyncio.sleep(0.1)
    assert not asking.done()

    webhook.capacity.amounts = {"requests.cpu": 4 * NANOS}
    await webhook.ledger.unmark(token)
    assert (await asking).allowed


@pytest.mark.parametrize(
    ("to", "user", "policy", "is_decided"),
    [
        ("2", "alice", PROMISED, False),
        ("500m", "alice", PROMISED, True),
        ("2", NODE, PROMISED, True),
        ("2", "alice", PROMISED + "exempt: [{user: alice, reason: tests}]\n", True),
    ],
    ids=["it grows", "it shrinks", "what a kubelet reports", "it is exempt"],
)
async def test_what_is_allowed_in_any_case_does_not_wait_until_nodes_are_known(
    to: str, user: str, policy: str, is_decided: bool
) -> None:
    webhook = Webhook(policy)
    webhook.capacity.error = UnavailableError("nodes", "the nodes are not all known yet")
    body = resize(to)
    for each in ("object", "oldObject"):
        body["request"][each]["spec"]["nodeSelector"] = {"cpu": "fast"}
    if user == NODE:
        body["request"] |= {"subResource": "status", "userInfo": {"username": NODE, "groups": ["system:nodes"]}}
        for each, cpu in (("oldObject", "1"), ("object", to)):
            statuses = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
            body["request"][each]["status"] = {"containerStatuses": statuses}

    if is_decided:
        assert (await webhook.validate_only(body)).allowed
    else:
        with pytest.raises(UnavailableError, match="the nodes are not all known yet"):
            await webhook.validate_only(body)


async def test_after_the_deadline_no_decision_is_made(webhook: Webhook) -> None:
    with pytest.raises(UnavailableError) as raised:
        await webhook.validate(request_of(stamped_review()), within=0)

    assert raised.value.reason == "deadline"
    assert list(webhook.index.reservations()) == []


async def test_before_a_policy_is_loaded_no_decision_is_made(webhook: Webhook) -> None:
    webhook.policies.policy = None

    with pytest.raises(UnavailableError) as raised:
        await webhook.ask(create())

    assert raised.value.reason == "policy"


def stamped_review() -> Json:
    return a_review("pods", "CREATE", object=stamped(pod()))


def without(path: str, *, body: Json | None = None) -> Json:
    body = copy.deepcopy(body or stamped_review())
    *parents, last = path.split(".")
    place = body["request"]
    for parent in parents:
        place = place[parent]
    del place[last]
    return body


def unnamed() -> Json:
    body = stamped_review()
    del body["request"]["object"]["metadata"]["name"]
    return body


UNREADABLE = {
    "no object": (without("object"), "request.object is missing"),
    "no username": (without("userInfo.username"), "request.userInfo.username is missing"),
    "no namespace": (without("namespace"), "request.namespace is missing"),
    "no uid of the object": (without("object.metadata.uid"), "request.object.metadata.uid is missing"),
    "no name at all": (unnamed(), "request.name is missing"),
    "no old object": (without("oldObject", body=resize("2")), "request.oldObject is missing"),
    "an old object without a version": (
        without("oldObject.metadata.resourceVersion", body=resize("2")),
        "request.oldObject.metadata.resourceVersion is not a number",
    ),
    "an old object with an odd version": (
        resize("2", base="٣"),
        "request.oldObject.metadata.resourceVersion is not a number",
    ),
    "an old object with a version below zero": (
        resize("2", base="-1"),
        "request.oldObject.metadata.resourceVersion is not a number",
    ),
}


@pytest.mark.parametrize(("body", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_review_without_a_field_that_the_api_server_always_sends_is_rejected(
    webhook: Webhook, body: Json, message: str
) -> None:
    with pytest.raises(ReviewError) as raised:
        await webhook.validate_only(body)

    assert (str(raised.value), raised.value.uid) == (message, "call-1")
    assert list(webhook.index.reservations()) == []


# Deletion.


async def test_a_deletion_passes_and_frees_nothing(webhook: Webhook) -> None:
    await webhook.ask(create(cpu="2"))
    gone = a_review("pods", "DELETE", "bob", object=None, oldObject=stamped(pod(cpu="2")), name="pod")

    assert (await webhook.validate_only(gone)).response == {"uid": "call-1", "allowed": True}

    assert webhook.held(user("alice"), CPU) == 2 * CORE


@pytest.mark.parametrize(
    ("deletion", "left"),
    [
        ({}, 0),
        ({"dryRun": True}, 2 * CORE),
        ({"resource": {"group": "", "version": "v1", "resource": "configmaps"}}, 2 * CORE),
        ({"subResource": "eviction"}, 2 * CORE),
        ({"namespace": "blue"}, 2 * CORE),
    ],
    ids=["a pod", "a dry run", "another kind", "a subresource", "another namespace"],
)
async def test_only_the_deletion_of_a_charged_pod_releases_usage_without_a_cluster(
    webhook: Webhook, deletion: Json, left: int
) -> None:
    ledger = StandaloneLedger(
        webhook.index, monotonic=webhook.clock.monotonic, api_time=webhook.clock.api_time, in_step=lambda: READY
    )
    rules = Attribution(webhook.owners, webhook.namespaces, webhook.policies, rights=webhook.rights, kinds=KINDS)
    handler = AdmissionHandler(
        rules,
        webhook.policies,
        webhook.namespaces,
        ledger,
        webhook.clock,
        webhook.names,
        webhook.limit_ranges,
        webhook.classes,
        webhook.pods,
        webhook.owners,
        on_delete=ledger.on_delete,
    )
    request = request_of(a_review("pods", "CREATE", object=stamped(pod(cpu="2"))))
    await handler.validate(request, deadline=webhook.clock.monotonic() + 1)

    gone = a_review("pods", "DELETE", object=None, oldObject=stamped(pod(cpu="2")))
    gone["request"].update(deletion)
    await handler.validate(request_of(gone), deadline=webhook.clock.monotonic() + 1)

    assert webhook.held(user("alice"), CPU) == left


# Names that are taken.


async def test_a_create_of_a_taken_name_gets_the_api_servers_response(webhook: Webhook) -> None:
    """Confirmed defect W7: its reservation outlived the object, and another user was denied for 40 seconds."""
    webhook.names.holders[ObjectKey("pods", "red", "pod")] = StoredVersion("uid-of-another", 5)

    answer = await webhook.ask(create())

    assert answer.response["status"] == {
        "status": "Failure",
        "code": 409,
        "reason": "AlreadyExists",
        "message": 'pods "pod" already exists',
    }
    assert list(webhook.index.reservations()) == []


async def test_a_repeated_review_after_its_object_was_stored_is_no_second_create(webhook: Webhook) -> None:
    webhook.names.holders[ObjectKey("pods", "red", "pod")] = StoredVersion("uid-of-pod", 5)

    assert (await webhook.ask(create())).allowed


# The policy that binds.


async def test_a_limit_that_was_lowered_while_the_request_waited_binds_it(webhook: Webhook) -> None:
    """When limits were resolved before the queue, a request was admitted seconds later under the old ones."""
    before = webhook.ledger.transact

    async def lowered_meanwhile(charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        webhook.policies.policy = FakePolicies.reading("version: 1\ndefaults: {user: {hard: {cpu: 500m}}}\n").policy
        return await before(charge, decide, dry_run=dry_run, deadline=deadline)

    webhook.ledger.transact = lowered_meanwhile  # type: ignore[method-assign]

    answer = await webhook.ask(create())

    assert "limited: requests.cpu=500m" in answer.message


# Many groups.


async def test_of_many_groups_only_those_that_the_policy_names_are_stamped(webhook: Webhook) -> None:
    """The API server rejects an object whose annotations exceed 256 KiB, and the ledger was full for all users."""
    webhook.policies.policy = FakePolicies.reading("version: 1\ngroups: {g-00007: {pool: {hard: {cpu: 9}}}}\n").policy
    groups = tuple(f"g-{number:05}" for number in range(5000))
    body = create()
    body["request"]["userInfo"]["groups"] = [*groups, "system:authenticated"]

    answer = await webhook.ask(body)

    assert answer.stamp["userquota.dev/groups"] == '["g-00007"]'
    assert answer.response["auditAnnotations"]["groups-not-stamped"] == "4999"
    [held] = webhook.index.reservations()
    assert held.payer.groups == ("g-00007",)


@pytest.mark.parametrize(
    ("stamp", "is_accepted"),
    [
        ('["g-00007"]', True),
        ('["g-00007","g-00008"]', True),
        ('["g-00008"]', False),
        ("[]", False),
        ('["g-00007","admins"]', False),
    ],
    ids=["those named", "one more, named a moment ago", "one that is named is missing", "none", "one of others"],
)
async def test_of_many_groups_the_stamp_must_have_all_that_the_policy_names_and_no_others(
    webhook: Webhook, stamp: str, is_accepted: bool
) -> None:
    webhook.policies.policy = FakePolicies.reading("version: 1\ngroups: {g-00007: {pool: {hard: {cpu: 9}}}}\n").policy
    body = create()
    body["request"]["userInfo"]["groups"] = [f"g-{number:05}" for number in range(5000)]
    body["request"]["object"] = stamped(pod(), groups=stamp)

    answer = await webhook.validate_only(body)

    assert answer.allowed == is_accepted


async def test_groups_that_no_policy_names_are_not_kept_in_the_ledger(webhook: Webhook) -> None:
    webhook.policies.policy = FakePolicies.reading("version: 1\ngroups: {ml: {pool: {hard: {cpu: 9}}}}\n").policy
    body = create()
    body["request"]["userInfo"]["groups"] = ["ml", "staff"]

    answer = await webhook.ask(body)

    assert answer.stamp["userquota.dev/groups"] == '["ml","staff"]'
    [held] = webhook.index.reservations()
    assert held.payer.groups == ("ml",)


# Sizes.


async def test_audit_annotations_stay_short_however_long_the_names_are(webhook: Webhook) -> None:
    answer = await webhook.ask(create(by="a" * 5000))

    assert {key: len(value) for key, value in answer.response["auditAnnotations"].items()} == {
        "owner": 1024,
        "found-by": 10,
        "requested": 34,
    }


async def test_of_many_resources_the_audit_log_records_the_first(webhook: Webhook) -> None:
    body = create()
    many = {f"example.com/r{number:05}": "1" for number in range(30_000)}
    body["request"]["object"]["spec"]["containers"][0]["resources"] = {"requests": many, "limits": many}

    answer = await webhook.ask(body)

    shown = answer.response["auditAnnotations"]["requested"].split(",")
    assert shown[:3] == ["count/pods=1", "pods=1", "requests.example.com/r00000=1"]
    assert shown[19:] == ["requests.example.com/r00017=1", "..."]


async def test_a_user_in_a_thousand_groups_is_bound_by_those_of_the_policy(webhook: Webhook) -> None:
    groups = tuple(f"group-{number}" for number in range(1000))

    assert (await webhook.ask(create("a", "1", groups=groups))).allowed
    assert (await webhook.ask(create("b", "2", groups=(*groups, "ml")))).allowed
    assert webhook.held(group("ml"), CPU) == 2 * CORE


GPUS = "version: 1\ndefaults: {user: {hard: {gpu: 1}}}\n"


def a_gpu_pod(name: str, resource: str, number: str = "1") -> Json:
    document = pod(name)
    document["spec"]["containers"][0]["resources"] = {"requests": {resource: number}, "limits": {resource: number}}
    return a_review(object=document)


def a_sharing_pod(name: str, **annotations: str) -> Json:
    noted = {key.replace("_", "-"): value for key, value in annotations.items()}
    return pod(name, cpu="", annotations=noted)


async def test_parts_of_gpus_that_annotations_ask_for_are_limited_and_the_denial_names_them() -> None:
    webhook = Webhook(GPUS)

    async def ask(name: str, **annotations: str) -> Answer:
        return await webhook.ask(a_review(object=a_sharing_pod(name, **annotations)))

    first = await ask("a", gpu_fraction="0.45", gpu_fraction_num_devices="2")
    second = await ask("b", gpu_fraction="0.2")
    third = await ask("c", gpu_memory="1000")
    fourth = await ask("d", gpu_fraction="0.1")

    assert [each.allowed for each in (first, second, third, fourth)] == [True, False, False, True]
    assert first.response["auditAnnotations"]["requested"] == "count/pods=1,gpu=9/10,pods=1"
    assert second.message == (
        "exceeded quota: defaults.user, requested: gpu=1/5, used: gpu=0, limited: gpu=1, reserved: gpu=9/10, "
        "free: gpu=1/10 for user/alice; would fit: gpu=1/10; gpu comes from annotation gpu-fraction x 1; "
        "gpu=9/10 reserved for requests under way, free again in about 40 s if they fail; charged to alice (created it)"
    )
    assert "; gpu comes from annotation gpu-memory x 1; " in third.message
    assert webhook.held(user("alice"), "gpu") == NANOS


async def test_a_limit_of_no_gpu_refuses_what_annotations_ask_for_unless_they_mean_something_else() -> None:
    body = a_review(object=a_sharing_pod("a", gpu_fraction="nonsense"))
    policy = "version: 1\ndefaults: {user: {hard: {gpu: 0}}}\n"

    refused = await Webhook(policy).ask(body)
    allowed = await Webhook(policy + "resources: {gpu: {annotation/gpu-fraction: 0}}\n").ask(body)

    assert "requested: gpu=1, used: gpu=0, limited: gpu=0" in refused.message
    assert allowed.allowed


@pytest.mark.parametrize(
    ("after", "is_allowed"),
    [
        ({"gpu_fraction": "1"}, True),
        ({"gpu_fraction": "0.5", "gpu_fraction_num_devices": "3"}, False),
        ({"gpu_fraction": "0.5", "gpu_memory": "1", "gpu_fraction_num_devices": "2"}, False),
        ({"gpu_fraction": "1.000000001"}, False),
    ],
)
async def test_an_update_of_these_annotations_has_to_fit(after: dict[str, str], is_allowed: bool) -> None:
    webhook = Webhook(GPUS)
    before = stamped(a_sharing_pod("a", gpu_fraction="0.5"))
    webhook.shows("a", {"annotation/gpu-fraction": NANOS // 2, "count/pods": NANOS, "pods": NANOS})

    changed = a_review(operation="UPDATE", object=stamped(a_sharing_pod("a", **after)), oldObject=before)
    answer = await webhook.ask(changed)

    assert answer.allowed is is_allowed
    assert ("gpu comes from annotation" in answer.message) is not is_allowed


async def test_a_device_without_a_weight_counts_as_a_whole_gpu_with_a_warning() -> None:
    webhook = Webhook(GPUS)

    first = await webhook.ask(a_gpu_pod("a", "nvidia.com/gpu.shared"))
    second = await webhook.ask(a_gpu_pod("b", "nvidia.com/gpu.shared"))

    assert first.allowed
    assert first.response["warnings"] == [
        "nvidia.com/gpu.shared counts as one whole gpu each: the policy sets no weight for it (resources.gpu)"
    ]
    assert not second.allowed


async def test_without_a_limit_on_gpus_there_is_no_such_warning() -> None:
    answer = await Webhook("version: 1\n").ask(a_gpu_pod("a", "nvidia.com/gpu.shared"))

    assert answer.allowed
    assert "warnings" not in answer.response


async def test_a_weight_of_the_policy_is_exact_and_works_at_once() -> None:
    webhook = Webhook(GPUS + "resources: {gpu: {nvidia.com/gpu.shared: 1/3}}\n")

    answers = [await webhook.ask(a_gpu_pod(name, "nvidia.com/gpu.shared")) for name in "abcd"]

    assert [answer.allowed for answer in answers] == [True, True, True, False]
    assert answers[3].message.startswith(
        "exceeded quota: defaults.user, requested: gpu=1/3, used: gpu=0, limited: gpu=1"
    )
    assert answers[0].response["auditAnnotations"]["requested"] == (
        "count/pods=1,gpu=1/3,pods=1,requests.nvidia.com/gpu.shared=1"
    )


def a_pod_of_many_devices(names: list[str]) -> Json:
    document = pod("many")
    requests = dict.fromkeys(names, "1")
    document["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": requests}
    return a_review(object=document)


async def test_resources_that_no_limit_depends_on_are_not_kept_in_the_ledger() -> None:
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {gpu: 4, example.com/named: 1}}}\n")
    names = [f"example.com/x{number}" for number in range(2000)]

    answer = await webhook.ask(a_pod_of_many_devices([*names, "nvidia.com/gpu", "example.com/named"]))

    assert answer.allowed
    [held] = webhook.index.reservations()
    assert [name for name, _ in held.amounts] == [
        "count/pods",
        "pods",
        "requests.example.com/named",
        "requests.nvidia.com/gpu",
    ]


async def test_what_would_fill_the_ledger_with_names_is_refused() -> None:
    webhook = Webhook("version: 1\nresources: {gpu: {example.com/*: 1}}\ncluster: {hard: {gpu: 100000}}\n")

    answer = await webhook.ask(a_pod_of_many_devices([f"example.com/x{number}" for number in range(2000)]))

    assert answer.message == (
        "cannot be charged: spec: it asks for 2002 different resources, and their names are longer than can be held"
    )
    assert list(webhook.index.reservations()) == []


async def test_limits_that_are_exceeded_are_reported_whatever_the_verdict_and_not_for_a_dry_run() -> None:
    reported: list[list[tuple[str, Mode]]] = []
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {cpu: 1}}}\ncluster: {hard: {cpu: 1}, mode: warn}\n")

    def report(limits: Sequence[Limit]) -> None:
        reported.append([(each.entry, each.mode) for each in limits])

    webhook.handler = replace(webhook.handler, on_exceeded=report)

    await webhook.ask(a_review(object=pod("fits", "1"), name="fits"))
    await webhook.ask(a_review(object=pod("tried", "2"), name="tried", dryRun=True))
    assert reported == []
    await webhook.ask(a_review(object=pod("large", "2"), name="large"))
    await webhook.ask(a_review(user="bob", object=pod("of-bob", "1"), name="of-bob"))

    assert reported == [[("defaults.user", Mode.ENFORCE), ("cluster", Mode.WARN)], [("cluster", Mode.WARN)]]
