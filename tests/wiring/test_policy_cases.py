"""A case of a policy is decided by the handler that answers reviews, on the usage that the case gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from tests.admission.asking import Webhook, a_review
from tests.admission.asking import pod as stored_pod
from webhook.documents.case_schema import Verdict
from webhook.documents.case_text import Outcome, read_cases
from webhook.documents.policy_text import PolicyReading
from webhook.quota.errors import WebhookError
from webhook.wiring.policy_cases import run_cases

Json = dict[str, Any]

POLICY = """\
version: 1
defaults: {user: {hard: {pods: 10, cpu: 4, gpu: 1}, perPod: {cpu: 3}}}
"""


def no_text(name: str) -> tuple[str, str]:
    raise WebhookError(name)


def no_policies(names: Sequence[str]) -> PolicyReading:
    raise WebhookError(str(names))


async def outcome(policy: str, of_file: Json | None = None, **case: Any) -> Outcome:
    """Return what a case comes to; alice acts in the namespace red if it does not say otherwise."""
    parts = {"name": "case", "as": {"user": "alice"}, "namespace": "red", "expect": "allow"}
    document = {"policy": yaml.safe_load(policy), "cases": [{**parts, **case}], **(of_file or {})}
    found = read_cases(json.dumps(document), source="c.yaml", read_text=no_text, read_policies=no_policies)
    assert found.mistakes == ()
    assert found.policy.policy is not None
    (came,) = await run_cases(found.cases, found.policy.policy)
    return came


def pod(name: str = "p", cpu: str = "1", **spec: Any) -> Json:
    containers = [{"name": "main", "resources": {"limits": {"cpu": cpu}}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def deployment(replicas: int | None = None, cpu: str = "1", name: str = "web") -> Json:
    spec = {"template": {"spec": pod(cpu=cpu)["spec"]}, **({} if replicas is None else {"replicas": replicas})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def test_what_fits_is_allowed() -> None:
    assert await outcome(POLICY, when=pod()) == Outcome(Verdict.ALLOW)


async def test_a_refusal_is_that_of_the_webhook_word_by_word() -> None:
    webhook = Webhook(POLICY)
    webhook.shows("other", {"requests.cpu": 3_500_000_000})
    answer = await webhook.ask(a_review(object=stored_pod("p", cpu="1")))

    given = [{"user": "alice", "uses": {"cpu": "3500m"}}]
    came = await outcome(POLICY, when=pod("p"), given=given)

    assert came == Outcome(Verdict.DENY, ("defaults.user",), (answer.message,))


async def test_a_limit_that_only_warns() -> None:
    came = await outcome(POLICY.replace("{user: {", "{user: {mode: warn, "), when=pod(cpu="5"))
    assert (came.verdict, came.limits) == (Verdict.WARN, ("defaults.user.perPod", "defaults.user"))
    assert came.texts[0].startswith("over quota defaults.user.perPod: requests.cpu requested 5, free 3 of 3")


async def test_a_limit_for_the_audit_log_is_not_what_warns() -> None:
    policy = POLICY.replace("{user: {", "{user: {mode: warn, ") + "cluster: {mode: audit, hard: {cpu: 1}}\n"
    assert (await outcome(policy, when=pod(cpu="5"))).limits == ("defaults.user.perPod", "defaults.user")


async def test_a_limit_for_the_audit_log_is_no_warning() -> None:
    came = await outcome(POLICY.replace("{user: {", "{user: {mode: audit, "), when=pod(cpu="5"))
    assert came == Outcome(Verdict.ALLOW)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"user": "bob", "groups": ["ml"], "uses": {"gpu": 7}}, Verdict.DENY),
        ({"user": "bob", "groups": ["ml"], "uses": {"gpu": 6}}, Verdict.ALLOW),
        ({"user": "bob", "uses": {"gpu": 7}}, Verdict.ALLOW),
        ({"group": "ml", "uses": {"nvidia.com/gpu": 7}}, Verdict.DENY),
        ({"group": "ml", "namespace": "blue", "uses": {"gpu": 7}}, Verdict.DENY),
    ],
)
async def test_a_pool_counts_its_members(given: Json, verdict: Verdict) -> None:
    policy = "version: 1\ngroups: {ml: {pool: {hard: {gpu: 8}}}}\n"
    asked = pod()
    asked["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 2}}
    came = await outcome(policy, when=asked, given=[given], **{"as": {"user": "alice", "groups": ["ml"]}})
    assert came.verdict is verdict
    assert came.limits == (("groups.ml.pool",) if verdict is Verdict.DENY else ())


@pytest.mark.parametrize(("team", "verdict"), [("research", Verdict.DENY), ("sales", Verdict.ALLOW)])
async def test_labels_make_a_namespace_part_of_a_tenant(team: str, verdict: Verdict) -> None:
    policy = "version: 1\ntenants: {research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 2}}}\n"
    of_file = {"namespaces": {"red": {"labels": {"team": team}}, "blue": {"labels": {"team": "research"}}}}
    given = [{"unattributed": True, "namespace": "blue", "uses": {"cpu": "1500m"}}]
    assert (await outcome(policy, of_file, when=pod(), given=given)).verdict is verdict
    assert (await outcome(policy, when=pod(), given=given)).verdict is Verdict.ALLOW


async def test_objects_that_exist_count_as_they_are_stored() -> None:
    given = [{"user": "alice", "objects": [pod("a", cpu="2"), {**pod("b", "1500m"), "status": {"phase": "Failed"}}]}]
    assert (await outcome(POLICY, when=pod(cpu="2"), given=given)).verdict is Verdict.ALLOW
    came = await outcome(POLICY, when=pod(cpu="2001m"), given=given)
    assert came.limits == ("defaults.user",)
    assert "used: requests.cpu=2" in came.texts[0]


async def test_a_workload_that_exists_has_its_pods_and_claims() -> None:
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    made = {**deployment(3), "kind": "StatefulSet"}
    made["spec"] = {**made["spec"], "volumeClaimTemplates": [template]}
    policy = "version: 1\ndefaults: {user: {hard: {pods: 3, storage: 3Gi}}}\n"
    came = await outcome(policy, when=pod(), given=[{"user": "alice", "objects": [made]}])
    assert "used: pods=3" in came.texts[0]
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": template["spec"]}
    came = await outcome(policy, when=claim, given=[{"user": "alice", "objects": [made]}])
    assert "used: requests.storage=3Gi" in came.texts[0]


async def test_a_workload_is_judged_with_all_its_pods() -> None:
    came = await outcome(POLICY, when=deployment(5))
    assert (came.verdict, came.limits) == (Verdict.WARN, ("defaults.user",))
    assert came.texts[0].startswith("4 of 5 replicas fit")
    assert await outcome(POLICY, when=deployment()) == Outcome(Verdict.ALLOW)
    strict = POLICY.replace("{user: {", "{user: {workloads: deny, ")
    assert (await outcome(strict, when=deployment(5))).verdict is Verdict.DENY


@pytest.mark.parametrize(("replicas", "verdict"), [(4, Verdict.ALLOW), (5, Verdict.WARN), (1, Verdict.ALLOW)])
async def test_what_a_scaled_workload_has_counts_once(replicas: int, verdict: Verdict) -> None:
    came = await outcome(POLICY, when={"scale": deployment(3), "replicas": replicas})
    assert came.verdict is verdict
    came = await outcome(POLICY, when={"update": deployment(replicas), "old": deployment(3)})
    assert came.verdict is verdict


async def test_a_workload_of_somebody_else_is_scaled_on_their_account() -> None:
    policy = POLICY + "users: {bob: {hard: {cpu: 2}}}\n"
    when = {"scale": deployment(1), "replicas": 3, "owner": {"user": "bob"}}
    assert (await outcome(policy, when=when)).limits == ("users.bob",)
    nobody = {**when, "owner": {"unattributed": True}}
    came = await outcome(policy, when=nobody)
    assert came.verdict is Verdict.DENY
    assert came.texts[0].startswith("nobody is known to own deployments web")


async def test_an_update_is_charged_for_what_it_adds() -> None:
    given = [{"user": "alice", "uses": {"cpu": 2}}]
    grown = {"update": pod(cpu="2"), "old": pod(cpu="1")}
    assert (await outcome(POLICY, when=grown, given=given)).verdict is Verdict.ALLOW
    grown["update"] = pod(cpu="2100m")
    came = await outcome(POLICY, when=grown, given=given)
    assert "requested: requests.cpu=1100m, used: requests.cpu=3" in came.texts[0]
    assert "charged to alice" in came.texts[0]
    others = await outcome(POLICY, when={**grown, "owner": {"user": "bob"}}, given=given)
    assert others.verdict is Verdict.ALLOW


async def test_missing_requests_are_filled_in_and_required() -> None:
    silent = pod()
    silent["spec"]["containers"][0]["resources"] = {}
    came = await outcome(POLICY + "missing: {cpu: {default: 3100m}}\n", when=silent)
    assert came.limits == ("defaults.user.perPod",)
    came = await outcome(POLICY + "missing: {cpu: require}\n", when=silent)
    assert (came.verdict, came.limits) == (Verdict.DENY, ("defaults.user.perPod", "defaults.user"))
    assert "must specify requests.cpu for: main" in came.texts[0]


async def test_a_best_effort_pod_is_in_its_scope() -> None:
    policy = "version: 1\ndefaults: {user: {scoped: [{scopes: [BestEffort], hard: {pods: 0}}]}}\n"
    silent = pod()
    silent["spec"]["containers"][0]["resources"] = {}
    assert (await outcome(policy, when=silent)).limits == ("defaults.user.scoped[0]",)
    assert (await outcome(policy, when=pod())).verdict is Verdict.ALLOW


SESSIONS = """\
version: 1
sessions: {presets: [kubeflow-notebook]}
defaults: {user: {hard: {sessions: 1, cpu: 2}}}
"""


def notebook(name: str = "n", cpu: str = "1", annotations: dict[str, str] | None = None) -> Json:
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "Notebook",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"template": {"spec": pod(cpu=cpu)["spec"]}},
    }


async def test_sessions_are_counted_and_have_their_pods() -> None:
    assert (await outcome(SESSIONS, when=notebook())).verdict is Verdict.ALLOW
    came = await outcome(SESSIONS, when=notebook(), given=[{"user": "alice", "objects": [notebook("other")]}])
    assert "requested: sessions=1, used: sessions=1" in came.texts[0]
    came = await outcome(SESSIONS, when=pod(cpu="1500m"), given=[{"user": "alice", "objects": [notebook("other")]}])
    assert "used: requests.cpu=1," in came.texts[0]


async def test_a_session_that_is_resized_needs_room_beside_others_only() -> None:
    stopped = {"kubeflow-resource-stopped": "now"}
    for before in (notebook(), notebook(annotations=stopped)):
        came = await outcome(SESSIONS, when={"update": notebook(cpu="2"), "old": before})
        assert came.verdict is Verdict.ALLOW
        came = await outcome(SESSIONS, when={"update": notebook(cpu="2100m"), "old": before})
        assert came.limits == ("defaults.user",)


async def test_a_pod_may_be_a_session() -> None:
    policy = SESSIONS.replace("kubeflow-notebook", "jupyterhub")
    server = pod()
    server["metadata"]["labels"] = {
        "app.kubernetes.io/component": "singleuser-server",
        "component": "singleuser-server",
    }
    given = [{"user": "alice", "uses": {"sessions": 1}}]
    assert (await outcome(policy, when=server)).verdict is Verdict.ALLOW
    assert (await outcome(policy, when=server, given=given)).limits == ("defaults.user",)
    assert (await outcome(policy, when=pod(), given=given)).verdict is Verdict.ALLOW


async def test_any_kind_may_be_counted() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {count/networkpolicies.networking.k8s.io: 1}}}\n"
    made = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"generateName": "n-"}}
    assert (await outcome(policy, when=made)).verdict is Verdict.ALLOW
    came = await outcome(policy, when=made, given=[{"user": "alice", "objects": [made]}])
    assert came.limits == ("defaults.user",)


@pytest.mark.parametrize(
    ("at", "verdict"), [("2027-01-29T23:59:59Z", Verdict.ALLOW), ("2027-01-31T00:00:00Z", Verdict.DENY)]
)
async def test_an_entry_ends_at_its_time(at: str, verdict: Verdict) -> None:
    policy = POLICY + 'users: {alice: {hard: {cpu: 5}, perPod: {cpu: 5}, until: "2027-01-31T00:00:00Z"}}\n'
    assert (await outcome(policy, when=pod(cpu="5"), at=at)).verdict is verdict


@pytest.mark.parametrize(
    ("at", "verdict"),
    [
        ("2027-01-24T00:00:00Z", Verdict.WARN),
        ("2027-01-27T00:00:00Z", Verdict.ALLOW),
        ("2027-01-30T12:00:00Z", Verdict.WARN),
    ],
)
async def test_an_end_is_told_before(at: str, verdict: Verdict) -> None:
    policy = POLICY + 'users: {alice: {hard: {cpu: 8}, until: "2027-01-31T00:00:00Z"}}\n'
    came = await outcome(policy, when=pod(), at=at)
    told = ("the limit users.alice (requests.cpu 8) ends on 2027-01-31, 4 from then on",)
    assert (came.verdict, came.texts) == (verdict, told if verdict is Verdict.WARN else ())


NIGHTS = """
users:
  alice:
    hard: {cpu: 2}
    windows: [{days: [mon-fri], from: "20:00", to: "06:00", zone: Europe/Berlin, hard: {cpu: 8}}]
"""


@pytest.mark.parametrize(
    ("at", "cpu", "verdict", "limit"),
    [
        ("2027-06-18T20:00:00+02:00", "3", Verdict.ALLOW, ()),
        ("2027-06-19T05:59:59+02:00", "3", Verdict.ALLOW, ()),
        ("2027-06-19T06:00:00+02:00", "3", Verdict.DENY, ("users.alice",)),
        ("2027-06-19T20:00:00+02:00", "3", Verdict.DENY, ("users.alice",)),
        ("2027-06-19T06:00:00+02:00", "2", Verdict.ALLOW, ()),
    ],
)
async def test_a_window_has_amounts_of_its_own(at: str, cpu: str, verdict: Verdict, limit: tuple[str, ...]) -> None:
    came = await outcome(POLICY + NIGHTS, when=pod(cpu=cpu), at=at)
    assert (came.verdict, came.limits) == (verdict, limit)


async def test_a_window_may_be_full() -> None:
    given = [{"user": "alice", "uses": {"cpu": 7}}]
    came = await outcome(POLICY + NIGHTS, when=pod(cpu="2"), given=given, at="2027-06-18T20:00:00+02:00")
    assert came.limits == ("users.alice.windows[0]",)


async def test_what_is_over_the_limit_after_a_window_stays_and_does_not_grow() -> None:
    night, day = pod(cpu="3"), "2027-06-18T12:00:00+02:00"
    labelled = {**night, "metadata": {"name": "p", "labels": {"a": "b"}}}
    smaller, larger = pod(cpu="2500m"), pod(cpu="3500m")
    verdicts = [
        (await outcome(POLICY + NIGHTS, when={"update": each, "old": night}, at=day)).verdict
        for each in (labelled, smaller, larger)
    ]
    assert verdicts == [Verdict.ALLOW, Verdict.ALLOW, Verdict.DENY]


async def test_a_refusal_names_the_tier_of_an_entry() -> None:
    policy = POLICY + "tiers: {pro: {hard: {cpu: 2}, perPod: {cpu: 9}}}\nusers: {alice: {tier: pro}}\n"
    assert (await outcome(policy, when=pod(cpu="2"))).verdict is Verdict.ALLOW
    came = await outcome(policy, when=pod(cpu="2"), given=[{"user": "alice", "uses": {"cpu": 1}}])
    assert came.limits == ("users.alice (tiers.pro)",)
    assert "exceeded quota: users.alice (tiers.pro), requested: requests.cpu=2" in came.texts[0]


async def test_what_is_exempt_is_allowed() -> None:
    policy = POLICY + "exempt: [{group: admins, reason: they mend}]\n"
    came = await outcome(policy, when=pod(cpu="9"), **{"as": {"user": "eve", "groups": ["admins"]}})
    assert came == Outcome(Verdict.ALLOW)


async def test_cases_do_not_see_each_other() -> None:
    parts = {"as": {"user": "alice"}, "namespace": "red", "when": pod(cpu="3"), "expect": "allow"}
    document = {"policy": yaml.safe_load(POLICY), "cases": [{"name": name, **parts} for name in ("one", "two")]}
    text = json.dumps(document)
    found = read_cases(text, source="c.yaml", read_text=no_text, read_policies=no_policies)
    assert found.policy.policy is not None
    assert await run_cases(found.cases, found.policy.policy) == [Outcome(Verdict.ALLOW)] * 2


MISSPELT = "spec.containers[0].resource: unknown field, did you mean resources?"


def misspelt(cpu: str, name: str = "p") -> Json:
    return pod(name, containers=[{"name": "main", "resource": {"limits": {"cpu": cpu}}}])


def claim_template(count: object = 2) -> Json:
    requests = [{"name": "r", "exactly": {"deviceClassName": "big.example.com", "count": count}}]
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "two"}}
    return {**body, "spec": {"spec": {"devices": {"requests": requests}}}}


UNTIL = POLICY + 'exempt: [{user: x, reason: y, until: "2027-01-31T00:00:00Z"}]\n'
LIVE = "version: 1\ngroups: {ml: {membership: live, members: [bob], pool: {hard: {cpu: 1}}}}\n"
NOT_RUN: dict[str, tuple[str, Json, str]] = {
    "a policy that ends, without a time": (UNTIL, {"when": pod()}, "write at, the time of the case"),
    "a kind that is nobody's matter": (
        POLICY,
        {"when": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}},
        "ConfigMap of v1 is neither charged nor limited by this policy",
    ),
    "a kind in the wrong group": (
        POLICY,
        {"when": {**deployment(), "apiVersion": "v1"}},
        "Deployment of v1 is neither charged nor limited by this policy",
    ),
    "no namespace": (POLICY, {"when": pod(), "namespace": None}, "no namespace: write it in the case"),
    "two namespaces": (
        POLICY,
        {"when": {**pod(), "metadata": {"name": "p", "namespace": "blue"}}},
        "Pod p says namespace blue, the case says red",
    ),
    "a namespace of the system": (POLICY, {"when": pod(), "namespace": "kube-system"}, "userquota is not asked in"),
    "a name that is taken": (
        POLICY,
        {"when": pod("p"), "given": [{"user": "bob", "objects": [pod("p")]}]},
        'pods "p" already exists: it is given',
    ),
    "an object that is given twice": (
        POLICY,
        {"when": pod("p"), "given": [{"user": "bob", "objects": [pod("q"), pod("q")]}]},
        "Pod q exists twice in namespace red",
    ),
    "an update of two objects": (
        POLICY,
        {"when": {"update": pod("a"), "old": pod("b")}},
        "update and old are two objects: Pod a and Pod b",
    ),
    "a scale of what has none": (
        POLICY,
        {"when": {"scale": pod(), "replicas": 2}},
        "Pod is no workload with a scale: write an update of it",
    ),
    "a DaemonSet that exists": (
        POLICY,
        {"when": pod(), "given": [{"user": "bob", "objects": [{**deployment(), "kind": "DaemonSet"}]}]},
        "how many pods web has is for its nodes to say",
    ),
    "a member of a group that lists its members": (
        LIVE,
        {"when": pod(), "given": [{"group": "ml", "uses": {"cpu": 1}}]},
        "group ml: the policy has no such group, or counts only those that it lists",
    ),
    "a group that is misspelt": (
        POLICY,
        {"when": pod(), "given": [{"group": "mi", "uses": {"cpu": 1}}]},
        "group mi: the policy has no such group",
    ),
    "a misspelt field": (POLICY, {"when": misspelt("9")}, f"c.yaml:1: Pod p: {MISSPELT}"),
    "a misspelt field of what exists": (
        POLICY,
        {"when": pod(), "given": [{"user": "bob", "objects": [misspelt("9", name="q")]}]},
        f"c.yaml:1: Pod q: {MISSPELT}",
    ),
    "a misspelt field of what was there before": (
        POLICY,
        {"when": {"update": pod(), "old": misspelt("1")}},
        f"c.yaml:1: Pod p: {MISSPELT}",
    ),
    "a misspelt field of what is scaled": (
        POLICY,
        {"when": {"scale": {**deployment(1), "spec": {"replica": 9}}, "replicas": 2}},
        "c.yaml:1: Deployment web: spec.replica: unknown field, did you mean replicas?",
    ),
    "a misspelt field of a template for claims": (
        POLICY,
        {"when": pod(), "given": [{"user": "bob", "objects": [{**claim_template(), "spec": {"specs": {}}}]}]},
        "c.yaml:1: ResourceClaimTemplate two: spec.specs: unknown field, did you mean spec?",
    ),
    "a device without a domain": (
        POLICY,
        {"when": pod(containers=[{"name": "main", "resources": {"limits": {"gpu": 1}}}])},
        "c.yaml:1: Pod p: spec.containers[0].resources.limits.gpu: Kubernetes has no such resource, devices are named",
    ),
    "a kind in small letters": (
        POLICY,
        {"when": {**pod(), "kind": "pod"}},
        "c.yaml:1: pod p: there is no such kind in v1, did you mean Pod?",
    ),
    "a kind of the policy with a letter wrong": (
        SESSIONS,
        {"when": {**notebook(), "kind": "Notebok"}},
        "c.yaml:1: Notebok n: there is no such kind in kubeflow.org/v1, did you mean Notebook?",
    ),
    "an amount that is none": (POLICY, {"when": pod(cpu="1K")}, "spec.containers[0].resources.limits.cpu"),
    "a pod that is a list": (
        POLICY,
        {"when": {**pod(), "spec": []}},
        "spec: expected fields, each with a value, got a list",
    ),
}


@pytest.mark.parametrize(("policy", "case", "why"), NOT_RUN.values(), ids=NOT_RUN)
async def test_a_case_that_cannot_be_run_says_why(policy: str, case: Json, why: str) -> None:
    came = await outcome(policy, **case)
    assert came.verdict is None
    assert why in came.trouble


DEVICES = "version: 1\ndefaults: {user: {hard: {big.example.com.deviceclass.resource.k8s.io/devices: 4}}}\n"


def with_claim(replicas: int) -> Json:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "two"}]
    made = deployment(replicas)
    made["spec"]["template"]["spec"]["resourceClaims"] = claims
    return made


async def test_the_claims_of_a_template_that_is_given_count() -> None:
    given = [{"user": "bob", "objects": [claim_template()]}]
    assert await outcome(DEVICES, when=with_claim(2), given=given) == Outcome(Verdict.ALLOW)

    came = await outcome(DEVICES, when=with_claim(3), given=given)
    assert came.verdict is Verdict.WARN
    assert came.texts[0].startswith("2 of 3 replicas fit now: over quota defaults.user: big.example.com")


async def test_a_workload_that_is_given_has_them_and_keeps_them() -> None:
    given = [{"user": "alice", "objects": [claim_template()]}]
    scaled = await outcome(DEVICES, when={"scale": with_claim(1), "replicas": 3}, given=given)
    assert "2 of 3 replicas fit now" in scaled.texts[0]
    assert "requested 4, free 2 of 4" in scaled.texts[0]

    given = [{"user": "alice", "objects": [with_claim(2), claim_template()]}]
    new = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "c"}}
    new["spec"] = claim_template(1)["spec"]["spec"]
    assert (await outcome(DEVICES, when=new, given=given)).verdict is Verdict.DENY


async def test_without_the_template_nobody_knows_what_is_claimed() -> None:
    came = await outcome(DEVICES, when=with_claim(1))
    assert (came.verdict, came.limits) == (Verdict.WARN, ())
    assert came.texts[0].endswith("there is no ResourceClaimTemplate two")

    given = [{"user": "alice", "objects": [with_claim(2)]}]
    assert (await outcome(DEVICES, when=pod(), given=given)).trouble.endswith("give ResourceClaimTemplate two, too")

    given = [{"user": "alice", "objects": [claim_template("many")]}]
    came = await outcome(DEVICES, when=with_claim(1), given=given)
    place = "ResourceClaimTemplate two: spec.spec.devices.requests[0].exactly.count"
    assert came.texts[0].endswith(f"{place}: expected a whole number, got text")


async def test_where_no_limit_counts_what_is_claimed_the_template_is_not_needed() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {pods: 2}}}\n"
    given = [{"user": "alice", "objects": [{**with_claim(1), "metadata": {"name": "old"}}]}]
    assert await outcome(policy, when=with_claim(1), given=given) == Outcome(Verdict.ALLOW)
