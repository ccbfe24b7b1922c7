"""What people are told of a request that is allowed, and nobody else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.admission.asking import Json, Webhook, a_review, pod, request_of, stamped
from tests.admission.test_advice import Advised, deployment, scale
from webhook.quota.quantity import NANOS

CPU = "requests.cpu"
RS_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
POLICY = """
version: 1
warnAt: 80%
defaults:
  user: {hard: {cpu: 4, pods: 10}, perPod: {cpu: 3}}
  serviceAccount: {hard: {cpu: 1}}
users:
  audrey: {hard: {cpu: 1}, mode: audit}
  wanda: {hard: {cpu: 1}, mode: warn}
groups:
  ml: {pool: {hard: {cpu: 5}}}
exempt:
  - {user: eve, reason: she mends things}
"""
NEARLY = "nearly full: defaults.user: requests.cpu 3500m of 4 (87%) taken for user/alice"
NOBODYS = "nobody is known to own this Pod, so no limit of a person binds it: userquota adopt gives it an owner"


def create(cpu: str, by: str = "alice", *groups: str, name: str = "pod") -> Json:
    return a_review("pods", "CREATE", by, groups, object=pod(name, cpu))


async def warned(webhook: Webhook, body: Json) -> list[str]:
    answer = await webhook.ask(body)
    assert answer.allowed
    warnings: list[str] = answer.response.get("warnings", [])
    return warnings


async def test_who_creates_something_is_warned_when_a_limit_is_nearly_full() -> None:
    webhook = Webhook(POLICY)
    webhook.shows("a", {"pods": NANOS, CPU: 2 * NANOS})

    assert await warned(webhook, create("1199m")) == []
    assert await warned(webhook, create("1200m")) == [NEARLY.replace("3500m", "3200m").replace("87%", "80%")]
    assert await warned(webhook, create("1500m")) == [NEARLY]
    assert await warned(webhook, create("2")) == [NEARLY.replace("3500m", "4").replace("87%", "100%")]
    assert len(NEARLY) <= 120


async def test_only_the_fullest_of_several_limits_is_told() -> None:
    webhook = Webhook(POLICY)
    for number in range(8):
        webhook.shows(f"a{number}", {"pods": NANOS, CPU: NANOS // 4})
    webhook.shows("his", {"pods": NANOS, CPU: NANOS}, owner="bob")

    pods = "nearly full: defaults.user: pods 9 of 10 (90%) taken for user/alice"
    assert await warned(webhook, create("1200m", "alice", "ml")) == [pods]
    assert await warned(webhook, create("1900m", "alice", "ml")) == [
        "nearly full: defaults.user: requests.cpu 3900m of 4 (97%) taken for user/alice"
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(create("1", "system:serviceaccount:red:robot"), id="an account"),
        pytest.param(create("1", "audrey"), id="a limit that is for the audit log"),
        pytest.param(create("4", "eve"), id="somebody who is exempt"),
    ],
)
async def test_nobody_else_is_warned_of_a_limit_that_is_nearly_full(body: Json) -> None:
    assert await warned(Webhook(POLICY), body) == []


async def test_a_limit_that_only_warns_is_told_of_as_well() -> None:
    told = await warned(Webhook(POLICY), create("900m", "wanda"))
    assert told == ["nearly full: users.wanda: requests.cpu 900m of 1 (90%) taken for user/wanda"]


async def test_nobody_is_warned_of_a_change_or_unless_the_policy_says_so() -> None:
    assert await warned(Webhook(POLICY.replace("warnAt: 80%", "")), create("3")) == []
    assert await warned(Webhook(POLICY.replace("80%", "off")), create("3")) == []
    old, new = (stamped(pod("pod", cpu, resourceVersion="5"), "alice") for cpu in ("1", "3"))
    resize = a_review("pods/resize", "UPDATE", "alice", object=new, oldObject=old, name="pod")
    assert await warned(Webhook(POLICY), resize) == []


@pytest.mark.parametrize(
    ("by", "groups", "cpu", "expected"),
    [
        pytest.param("admin", ("system:masters",), "2", [NOBODYS], id="an administrator lets it grow"),
        pytest.param("admin", ("system:masters",), "1", [], id="an administrator lets it be"),
        pytest.param(RS_CONTROLLER, (), "2", [], id="a controller lets it grow"),
    ],
)
async def test_whoever_lets_grow_what_nobody_owns_is_told(
    by: str, groups: tuple[str, ...], cpu: str, expected: list[str]
) -> None:
    old, new = (pod("pod", each, resourceVersion="5") for each in ("1", cpu))
    body = a_review("pods/resize", "UPDATE", by, groups, object=new, oldObject=old, name="pod")
    assert (await Webhook().mutate(request_of(body))).get("warnings", []) == expected


@pytest.mark.parametrize(
    ("by", "replicas", "is_told"),
    [
        pytest.param("admin", 3, True, id="an administrator scales it up"),
        pytest.param("admin", 1, False, id="an administrator scales it down"),
        pytest.param("system:serviceaccount:kube-system:horizontal-pod-autoscaler", 3, False, id="the autoscaler does"),
    ],
)
async def test_whoever_scales_up_what_nobody_owns_is_told(by: str, replicas: int, *, is_told: bool) -> None:
    advised = Advised("version: 1\n")
    advised.webhook.owners.put("Deployment", "web")
    advised.webhook.owners.specs["web"] = deployment(2)["spec"]

    answer = await advised.update(scale(replicas), scale(2), resource="deployments.apps/scale", user=by)

    assert answer.get("warnings", []) == ([NOBODYS.replace("Pod", "Deployment")] if is_told else [])


ENDS = """
version: 1
defaults:
  user: {hard: {cpu: 4}}
  serviceAccount: {hard: {cpu: 1}}
users:
  alice: {hard: {cpu: 8}, until: 2026-11-02T00:00:00Z}
  eve: {hard: {cpu: 8}, until: 2026-11-02T00:00:00Z}
serviceAccounts:
  red/robot: {hard: {cpu: 8}, until: 2026-11-02T00:00:00Z}
exempt:
  - {user: eve, reason: she mends things}
"""
END_IS_NEAR = "the limit users.alice (requests.cpu 8) ends on 2026-11-02, 4 from then on"


def on_the_last_day(policy: str = ENDS) -> Webhook:
    webhook = Webhook(policy)
    webhook.clock.wall = datetime(2026, 11, 1, 12, tzinfo=UTC)
    return webhook


async def test_who_creates_something_is_warned_of_the_end_of_a_limit() -> None:
    webhook = on_the_last_day()
    assert await warned(webhook, create("1")) == [END_IS_NEAR]
    webhook.clock.wall -= timedelta(days=2)
    assert await warned(webhook, create("1", name="other")) == []


async def test_a_limit_that_is_nearly_full_and_ends_is_told_of_both() -> None:
    told = await warned(on_the_last_day(ENDS + "warnAt: 80%\n"), create("7"))
    assert [each.partition(":")[0] for each in told] == ["nearly full", END_IS_NEAR]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(create("1", "system:serviceaccount:red:robot"), id="an account"),
        pytest.param(create("1", "eve"), id="somebody who is exempt"),
        pytest.param(create("1", "bob"), id="somebody without such a limit"),
    ],
)
async def test_nobody_else_is_warned_of_the_end_of_a_limit(body: Json) -> None:
    assert await warned(on_the_last_day(), body) == []


async def test_nobody_is_warned_of_the_end_of_a_limit_when_something_changes() -> None:
    old, new = (stamped(pod("pod", cpu, resourceVersion="5"), "alice") for cpu in ("1", "3"))
    resize = a_review("pods/resize", "UPDATE", "alice", object=new, oldObject=old, name="pod")
    assert await warned(on_the_last_day(), resize) == []
