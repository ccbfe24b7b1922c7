"""What is exempt passes above its limits, counts all the same, and is told of in the audit log."""

from __future__ import annotations

import pytest

from tests.admission.asking import Json, Webhook, a_review, pod
from webhook.admission.review import AdmissionResponse, allowed, denied, failed, not_now
from webhook.quota.subject import CLUSTER

CORE = 10**9
POLICY = """
version: 1
defaults: {user: {hard: {cpu: 1}, perPod: {cpu: 1}}}
cluster: {hard: {cpu: 2}}
exempt:
  - {group: "system:masters", reason: administrators mend what others own}
  - {priorityClass: critical, reason: each node needs it}
  - {namespace: red, reason: over long ago, until: 2026-01-01T00:00:00Z}
"""


def asked(by: str, *groups: str, priority: str = "") -> Json:
    body = a_review("pods", "CREATE", by, groups, object=pod(f"of-{by}", cpu="3"))
    body["request"]["object"]["spec"]["priorityClassName"] = priority
    return body


async def test_a_limit_refuses_nothing_of_an_exempt_group() -> None:
    webhook = Webhook(POLICY)

    passed = await webhook.ask(asked("admin", "system:masters"))
    refused = await webhook.ask(asked("alice"))

    audit = passed.response["auditAnnotations"]
    assert audit["exempt"] == "group system:masters: administrators mend what others own"
    assert "over quota cluster: requests.cpu requested 3, free 2 of 2" in audit["tolerated"]
    assert "over quota defaults.user.perPod" in audit["tolerated"]
    assert "warnings" not in passed.response
    assert webhook.held(CLUSTER, "requests.cpu") == 3 * CORE
    assert "larger than quota: cluster, requested: requests.cpu=3, used: requests.cpu=0" in refused.message


async def test_what_an_exemption_requires_to_declare_may_be_missing() -> None:
    webhook = Webhook(POLICY.replace("{cpu: 2}", "{memory: 2Gi}") + "missing: {memory: require}\n")

    assert (await webhook.ask(asked("admin", "system:masters"))).allowed
    assert "must specify requests.memory" in (await webhook.ask(asked("alice"))).message


async def test_a_pod_of_an_exempt_priority_class_passes_whoever_pays() -> None:
    webhook = Webhook(POLICY)

    assert (await webhook.ask(asked("alice", priority="critical"))).allowed
    assert not (await webhook.ask(asked("bob", priority="other"))).allowed


async def test_within_its_limits_an_exempt_object_is_no_exception() -> None:
    webhook = Webhook(POLICY)
    body = a_review("pods", "CREATE", "admin", ("system:masters",), object=pod(cpu="100m"))

    audit = (await webhook.ask(body)).response["auditAnnotations"]

    assert "tolerated" not in audit
    assert audit["exempt"].startswith("group system:masters")


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (allowed("u"), "allowed"),
        (allowed("u", audit={"exempt": "x"}), "allowed"),
        (allowed("u", audit={"tolerated": "y"}), "tolerated"),
        (allowed("u", audit={"exempt": "x", "tolerated": "y"}), "exempted"),
        (denied("u", "no"), "denied"),
        (not_now("u", "wait"), "not-ready"),
        (failed("u", "a bug"), "failed"),
    ],
    ids=["allowed", "within limits", "by a mode", "exempt", "denied", "not now", "failed"],
)
def test_the_metric_tells_what_passed_only_because_it_is_exempt(response: AdmissionResponse, verdict: str) -> None:
    assert response.verdict == verdict
