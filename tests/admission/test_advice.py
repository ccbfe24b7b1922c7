"""The early verdict on a workload, over fake ports: who is judged, by which limits, and what is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from tests.admission.asking import Json, Webhook, a_review, decoded, request_of, stamped
from tests.fakes import FakePods
from webhook.admission import review
from webhook.admission.advice import WorkloadAdvice
from webhook.kinds.workloads import Workload
from webhook.kube.device_classes import DeviceClass, DeviceClassMeta, DeviceClassSpec, second_names
from webhook.ports import Condition
from webhook.quota.missing import Bounds
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import parse
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer
from webhook.quota.usage import Row

CONTROLLER = "system:serviceaccount:kube-system:deployment-controller"
AUTOSCALER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
WARN = "version: 1\ndefaults: {user: {hard: {pods: 3}}}\n"
DENY = "version: 1\ndefaults: {user: {hard: {pods: 3}, workloads: deny}}\n"
ONE: dict[str, Amount] = {"pods": 10**9, "count/pods": 10**9}


def deployment(replicas: int = 1, *, cpu: str = "", image: str = "x", owner: str = "alice", **spec: object) -> Json:
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "red", "uid": "uid-of-web", "resourceVersion": "5"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": {"spec": {"containers": [container]}},
                **spec,
            },
        },
        owner,
    )


def scale(replicas: int) -> Json:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas},
    }


@dataclass
class Advised:
    """A webhook, and what it says of workloads."""

    policy: str = WARN
    pods: FakePods = field(default_factory=FakePods)

    def __post_init__(self) -> None:
        self.webhook = webhook = Webhook(self.policy)
        self.advice = WorkloadAdvice(
            webhook.handler.attribution.users,
            webhook.owners,
            self.pods,
            webhook.policies,
            webhook.namespaces,
            webhook.ledger,
            webhook.clock,
            webhook.names,
            webhook.limit_ranges,
            webhook.classes,
        )

    def has(self, *names: str, owner: str = "alice") -> None:
        """Have these pods in the cluster, as the workload's own."""
        self.pods.found += names
        for name in names:
            self.webhook.shows(name, ONE, owner=owner)

    async def ask(self, operation: str, new: Json, old: Json | None = None, **request: Any) -> Json:
        body = a_review(
            request.pop("resource", "deployments.apps"), operation, object=new, oldObject=old, name="web", **request
        )
        deadline = self.webhook.clock.monotonic() + 2
        return decoded(review.encode(await self.advice.advise(request_of(body), deadline=deadline)))

    async def create(self, new: Json, **request: Any) -> Json:
        return await self.ask("CREATE", new, **request)

    async def update(self, new: Json, old: Json, **request: Any) -> Json:
        return await self.ask("UPDATE", new, old, **request)


FITS_3 = "3 of 9 replicas fit now: over quota defaults.user: pods requested 9, free 3 of 3"
SURGE = (
    "the rolling update needs 1 more pod than is free: defaults.user: pods free 0 of 3; "
    "maxSurge: 0 with maxUnavailable: 1 would do"
)


async def test_a_new_workload_that_does_not_fit_is_told_how_much_does() -> None:
    assert await Advised().create(deployment(9)) == {"uid": "call-1", "allowed": True, "warnings": [FITS_3]}


async def test_nothing_is_said_of_one_that_fits() -> None:
    assert await Advised().create(deployment(3)) == {"uid": "call-1", "allowed": True}


async def test_nothing_is_held_for_it() -> None:
    advised = Advised()
    await advised.create(deployment(3))
    assert list(advised.webhook.index.reservations()) == []
    assert await advised.create(deployment(3)) == {"uid": "call-1", "allowed": True}


async def test_the_policy_may_refuse_it() -> None:
    answer = await Advised(DENY).create(deployment(9))

    assert not answer["allowed"]
    assert answer["status"]["code"] == 403
    assert answer["status"]["message"] == (
        "larger than quota: defaults.user, requested: pods=9, used: pods=0, limited: pods=3, reserved: pods=0, "
        "free: pods=3 for user/alice; would fit: 3 of 9 replicas; charged to alice"
    )
    [cause] = answer["status"]["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("NeverFits", "pods")


SMALL = "no replicas fit: below minimum defaults.user.minPerPod: requests.cpu requested 1, minimum 2 for one pod"
OPEN = "no replicas fit: over quota defaults.user: must specify requests.memory for: main"
UNFIT = {
    "a minimum": ("defaults: {user: {minPerPod: {cpu: 2}}}", [SMALL]),
    "a minimum that it has": ("defaults: {user: {minPerPod: {cpu: 1}}}", None),
    "a minimum in audit": ("defaults: {user: {minPerPod: {cpu: 2}, mode: audit}}", None),
    "not declared": ("missing: {memory: require}\ndefaults: {user: {hard: {memory: 9Gi}}}", [OPEN]),
    "filled in by the policy": ("missing: {memory: {default: 1Gi}}\ndefaults: {user: {hard: {memory: 9Gi}}}", None),
    "not required": ("defaults: {user: {hard: {memory: 9Gi}}}", None),
    "both, and room": (
        "missing: {memory: require}\ndefaults: {user: {hard: {memory: 9Gi, pods: 1}, minPerPod: {cpu: 2}}}",
        [OPEN, SMALL, "1 of 2 replicas fit now: over quota defaults.user: pods requested 2, free 1 of 1"],
    ),
}


@pytest.mark.parametrize(("policy", "warnings"), UNFIT.values(), ids=UNFIT.keys())
async def test_what_keeps_each_pod_from_being_made_is_told(policy: str, warnings: list[str] | None) -> None:
    answer = await Advised(f"version: 1\n{policy}\n").create(deployment(2, cpu="1"))
    assert answer == {"uid": "call-1", "allowed": True, **({"warnings": warnings} if warnings else {})}


async def test_pods_have_what_limit_ranges_give_them() -> None:
    advised = Advised("version: 1\nmissing: {memory: require}\ndefaults: {user: {hard: {memory: 9Gi}}}\n")
    advised.webhook.limit_ranges.known = {"memory": Bounds(request=parse("1Gi"))}
    assert await advised.create(deployment(2)) == {"uid": "call-1", "allowed": True}


async def test_the_policy_may_refuse_what_no_pod_can_be() -> None:
    answer = await Advised("version: 1\ndefaults: {user: {minPerPod: {cpu: 2}, workloads: deny}}\n").create(
        deployment(2, cpu="1")
    )
    assert answer["status"]["message"] == (
        "below minimum: defaults.user.minPerPod, requested: requests.cpu=1, minimum: requests.cpu=2 for one pod; "
        "would fit: 0 of 2 replicas; charged to alice"
    )
    assert [each["reason"] for each in answer["status"]["details"]["causes"]] == ["BelowMinimum"]


ALL = "nodeClasses: {all: {nodes: {matchLabels: {a: b}}, default: true"
SHAPED = f"version: 1\n{ALL}, shape: fixed, unit: {{cpu: 2, memory: 1Gi}}"


@pytest.mark.parametrize(("mode", "warns"), [("enforce", True), ("warn", True), ("audit", False)])
async def test_the_shape_that_no_pod_has_is_told_before_pods_are_made(mode: str, warns: bool) -> None:
    answer = await Advised(f"{SHAPED}, mode: {mode}}}}}\n").create(deployment(2, cpu="1"))
    told = (
        "no replicas fit: off shape nodeClasses.all: requests.cpu=1,requests.memory=0 requested, in shape "
        "requests.cpu=1,requests.memory=512Mi"
    )
    assert answer == {"uid": "call-1", "allowed": True, **({"warnings": [told]} if warns else {})}


MODES = {
    "not told of": ("{hard: {pods: 3}, workloads: off}", ""),
    "in audit": ("{hard: {pods: 3}, mode: audit, workloads: deny}", ""),
    "to be warned of": ("{hard: {pods: 3}, mode: warn, workloads: deny}", "warned"),
    "by default": ("{hard: {pods: 3}}", "warned"),
    "strict": ("{hard: {pods: 3}, workloads: deny}", "denied"),
    "strict, of one pod": ("{hard: {pods: 30}, perPod: {cpu: 1}, workloads: deny}", "denied"),
    "no more in force": ("{hard: {pods: 3}, workloads: deny, until: 2026-01-01T00:00:00Z}", ""),
}


@pytest.mark.parametrize(("entry", "verdict"), MODES.values(), ids=MODES.keys())
async def test_what_a_limit_does(entry: str, verdict: str) -> None:
    answer = await Advised(f"version: 1\ndefaults: {{user: {entry}}}\n").create(deployment(9, cpu="2"))
    assert ("denied" if not answer["allowed"] else "warned" if "warnings" in answer else "") == verdict


async def test_of_two_limits_the_one_that_denies_is_named_and_the_other_is_not() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {pods: 3}, workloads: deny}}\ncluster: {hard: {pods: 1}}\n"
    answer = await Advised(policy).create(deployment(9))
    assert "defaults.user" in answer["status"]["message"]
    assert "cluster" not in answer["status"]["message"]
    assert "would fit: 1 of 9 replicas" in answer["status"]["message"]


async def test_who_is_exempt_is_told_nothing() -> None:
    policy = f"{DENY}exempt: [{{user: alice, reason: on call}}]\n"
    assert await Advised(policy).create(deployment(9)) == {"uid": "call-1", "allowed": True}


@pytest.mark.parametrize(
    ("user", "is_judged"),
    [("bob", True), (AUTOSCALER, True), (CONTROLLER, False), ("system:kube-controller-manager", False)],
)
async def test_whose_change_is_judged_for_the_owner(user: str, *, is_judged: bool) -> None:
    answer = await Advised().update(deployment(9), deployment(1), user=user)
    assert ("warnings" in answer) is is_judged
    assert "defaults.user" in str(answer) or not is_judged


UPDATES: dict[str, tuple[Json, Json, list[str]]] = {
    "scaled beyond": (deployment(9), deployment(2), [FITS_3.replace("9, free 3", "7, free 1")]),
    "scaled to the limit": (deployment(3), deployment(2), []),
    "scaled down": (deployment(5), deployment(9), []),
    "scaled to nothing": (deployment(0), deployment(9), []),
    "another label": (deployment(9), deployment(9), []),
    "another image, with room": (deployment(2, image="y"), deployment(2), []),
    "another image of too many": (deployment(9, image="y"), deployment(9), []),
    "more, and another image": (deployment(9, image="y"), deployment(2), [FITS_3.replace("9, free 3", "7, free 1")]),
}


@pytest.mark.parametrize(("new", "old", "told"), UPDATES.values(), ids=UPDATES.keys())
async def test_an_edit_is_judged_if_it_asks_for_more(new: Json, old: Json, told: list[str]) -> None:
    advised = Advised()
    advised.has("web-1", "web-2")
    assert (await advised.update(new, old)).get("warnings", []) == told


async def test_a_new_workload_is_judged_beside_the_pods_that_it_adopts() -> None:
    """Those that a deletion has orphaned: `kubectl delete --cascade=orphan`, and the same manifest again."""
    advised = Advised(DENY)
    advised.has("web-1", "web-2", "web-3")
    assert await advised.create(deployment(3)) == {"uid": "call-1", "allowed": True}
    assert advised.pods.asked == [("red", "", {"matchLabels": {"app": "web"}})]
    assert "would fit: 3 of 4 replicas" in (await advised.create(deployment(4)))["status"]["message"]


async def test_only_what_grows_is_judged() -> None:
    """It was over the limit of pods before, and asks for fewer of them and for cpu besides."""
    advised = Advised("version: 1\ndefaults: {user: {hard: {pods: 3, cpu: 4}, workloads: deny}}\n")
    advised.has("web-1", "web-2", "web-3")
    assert (await advised.update(deployment(10, cpu="100m"), deployment(20)))["allowed"]
    answer = await advised.update(deployment(10, cpu="1"), deployment(20))
    assert "requested: requests.cpu=10, used: requests.cpu=0, limited: requests.cpu=4" in answer["status"]["message"]
    assert "pods" not in answer["status"]["message"].partition("would fit")[0]


async def test_a_rolling_update_without_room_for_one_more_is_told() -> None:
    advised = Advised(DENY)
    advised.has("web-1", "web-2", "web-3")
    answer = await advised.update(deployment(3, image="y"), deployment(3))
    assert answer == {"uid": "call-1", "allowed": True, "warnings": [SURGE]}


async def test_a_rollout_that_takes_one_away_first_is_not() -> None:
    advised = Advised()
    advised.has("web-1", "web-2", "web-3")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    new, old = (deployment(3, image=image, strategy=strategy) for image in "xy")
    assert "warnings" not in await advised.update(new, old)


async def test_a_scale_is_judged_by_the_workload_that_it_belongs_to() -> None:
    advised = Advised()
    advised.has("web-1", "web-2")
    advised.webhook.owners.put("Deployment", "web", owner="alice")
    advised.webhook.owners.specs["web"] = deployment(2)["spec"]

    answer = await advised.update(scale(9), scale(2), resource="deployments.apps/scale", user="bob")

    assert answer["warnings"] == [FITS_3.replace("9, free 3", "7, free 1")]
    assert advised.pods.asked == [("red", "uid-of-web", {"matchLabels": {"app": "web"}})]


async def test_the_scale_of_what_is_gone_is_left_to_the_api_server() -> None:
    answer = await Advised().update(scale(9), scale(2), resource="deployments.apps/scale")
    assert answer == {"uid": "call-1", "allowed": True}


async def test_nobodys_workload_is_judged_by_the_limits_of_nobody() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {pods: 0}}, unattributed: {hard: {pods: 2}}}\n"
    old, new = deployment(1), deployment(9)
    for each in (old, new):
        del each["metadata"]["annotations"]
    answer = await Advised(policy).update(new, old)
    assert answer["warnings"] == [
        "2 of 9 replicas fit now: over quota defaults.unattributed: pods requested 9, free 2 of 2"
    ]


async def test_a_cron_job_is_told_what_can_never_fit_and_not_what_does_not_fit_now() -> None:
    advised = Advised(DENY)
    advised.has("other-1", "other-2", "other-3")
    template = {"spec": {"containers": [{"name": "c"}]}}

    async def created(parallelism: int) -> Json:
        spec = {"jobTemplate": {"spec": {"parallelism": parallelism, "template": template}}}
        return await advised.create(
            stamped({"metadata": {"name": "web", "uid": "u"}, "spec": spec}), resource="cronjobs.batch"
        )

    assert await created(3) == {"uid": "call-1", "allowed": True}
    answer = await created(4)
    assert "would fit: 3 of 4 parallel pods" in answer["status"]["message"]


async def test_a_daemon_set_is_judged_by_the_pods_that_it_has() -> None:
    advised = Advised("version: 1\ndefaults: {user: {hard: {pods: 3, cpu: 2}}}\n")
    advised.has("web-a", "web-b", "web-c")
    new, old = (deployment(cpu=cpu) for cpu in ("1", "500m"))
    for each in (new, old):
        del each["spec"]["replicas"]
    answer = await advised.update(new, old, resource="daemonsets.apps")
    assert answer["warnings"] == [
        "2 of 3 pods fit now: over quota defaults.user: requests.cpu requested 3, free 2 of 2"
    ]


async def test_claims_of_templates_count_and_those_that_exist_are_used_again() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {storage: 3Gi}}}\n"
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    answer = await Advised(policy).create(deployment(5, volumeClaimTemplates=[claim]), resource="statefulsets.apps")
    assert answer["warnings"] == [
        "3 of 5 replicas fit now: over quota defaults.user: requests.storage requested 5Gi, free 3Gi of 3Gi"
    ]


async def test_what_a_limit_range_and_the_policy_fill_in_counts() -> None:
    advised = Advised(
        "version: 1\ndefaults: {user: {hard: {cpu: 2, memory: 1Gi}}}\nmissing: {memory: {default: 512Mi}}\n"
    )
    advised.webhook.limit_ranges.known = {"cpu": Bounds(request=parse("500m"), limit=parse("1"))}
    answer = await advised.create(deployment(9))
    assert answer["warnings"] == [
        "2 of 9 replicas fit now: over quota defaults.user: requests.memory requested 4608Mi, free 1Gi of 1Gi"
    ]


# Claims for devices that come with the pods.

BIG = "big.example.com"
DEVICES = f"version: 1\ndefaults: {{user: {{hard: {{{BIG}.deviceclass.resource.k8s.io/devices: 5}}}}}}\n"
HELD: dict[str, Amount] = {f"{BIG}.deviceclass.resource.k8s.io/devices": 2 * 10**9}


def with_claims(replicas: int, *templates: str, image: str = "x") -> Json:
    claims = [{"name": f"c{at}", "resourceClaimTemplateName": each} for at, each in enumerate(templates)]
    spec = {"containers": [{"name": "main", "image": image}], "resourceClaims": claims}
    return deployment(replicas, template={"spec": spec})


def with_templates(policy: str = DEVICES, **counts: object) -> Advised:
    """A cluster with a ResourceClaimTemplate of each name, for as many devices."""
    advised = Advised(policy)
    for name, count in counts.items():
        advised.webhook.owners.put("ResourceClaimTemplate", name)
        request = {"name": "r", "exactly": {"deviceClassName": BIG, "count": count}}
        advised.webhook.owners.specs[name] = {"spec": {"devices": {"requests": [request]}}}
    return advised


TEMPLATES: dict[str, tuple[tuple[str, ...], str]] = {
    "one": (("two",), "2 of 4 replicas fit now: over quota defaults.user: big.example.com"),
    "one, twice": (("two", "two"), "1 of 4 replicas fit now"),
    "two": (("one", "two"), "1 of 4 replicas fit now"),
    "one that fits": (("one",), ""),
}


@pytest.mark.parametrize(("templates", "told"), TEMPLATES.values(), ids=TEMPLATES.keys())
async def test_the_claims_of_templates_for_devices_count(templates: tuple[str, ...], told: str) -> None:
    answer = await with_templates(one=1, two=2).create(with_claims(4, *templates))
    assert answer.get("warnings", [""])[0].startswith(told)
    assert ("warnings" in answer) is bool(told)


async def test_weighed_devices_and_the_number_of_claims_count_as_well() -> None:
    weighed = f"version: 1\nresources: {{gpu: {{deviceclass/{BIG}: 1}}}}\ndefaults: {{user: {{hard: {{gpu: 5}}}}}}\n"
    number = "version: 1\ndefaults: {user: {hard: {count/resourceclaims.resource.k8s.io: 2}}}\n"
    capped = f"version: 1\nresources: {{gpu: {{deviceclass/{BIG}: 1}}}}\ndefaults: {{user: {{perClaim: {{gpu: 1}}}}}}\n"
    for policy, told in ((weighed, "2 of 4 replicas fit now"), (number, "2 of 4"), (capped, "no replicas fit: gpu")):
        answer = await with_templates(policy, two=2).create(with_claims(4, "two"))
        assert told in answer["warnings"][0]


async def test_claims_of_pods_that_exist_count_once() -> None:
    advised = with_templates(two=2)
    advised.has("web-1", "web-2")
    advised.pods.claims = {"web-1": ("web-1-c0-xyz",), "web-2": ("web-2-c0-abc",)}
    for name in ("web-1-c0-xyz", "web-2-c0-abc"):
        key = ObjectKey("resourceclaims.resource.k8s.io", "red", name)
        advised.webhook.index.observe(key, Row(f"uid-of-{name}", 5, Payer("alice"), tuple(HELD.items())))

    three, two = with_claims(3, "two"), with_claims(2, "two")
    [told] = (await advised.update(three, two))["warnings"]
    assert told.startswith("2 of 3 replicas fit now")
    assert "requested 2, free 1 of 5" in told
    surge = await advised.update(with_claims(2, "two", image="y"), two)
    assert "the rolling update needs 1 more pod than is free" in surge["warnings"][0]


async def test_a_template_that_does_not_exist_is_told() -> None:
    answer = await with_templates(two=2).create(with_claims(4, "two", "gone"))
    where = "spec.template.spec.resourceClaims"
    assert answer["warnings"] == [f"{UNKNOWN}{where}: there is no ResourceClaimTemplate gone"]


async def test_a_template_that_was_replaced_need_not_exist() -> None:
    answer = await with_templates(two=2).update(with_claims(4, "two"), with_claims(4, "gone"))
    assert answer["warnings"][0].startswith("2 of 4 replicas fit now")


async def test_a_template_that_cannot_be_read_is_named() -> None:
    answer = await with_templates(bad=-1).create(with_claims(4, "bad"))
    place = "ResourceClaimTemplate bad: spec.spec.devices.requests[0].exactly.count"
    assert answer["warnings"] == [f"{UNKNOWN}{place}: it must not be negative"]


async def test_a_claim_for_a_class_whose_resource_is_limited_by_its_other_name_counts() -> None:
    advised = with_templates("version: 1\ndefaults: {user: {hard: {requests.example.com/gpu: 5}}}\n", two=2)
    assert advised.webhook.policies.policy is not None
    names = second_names([DeviceClass(DeviceClassMeta(BIG), DeviceClassSpec("example.com/gpu"))])
    advised.webhook.policies.policy = advised.webhook.policies.policy.with_second_names(names)
    answer = await advised.create(with_claims(4, "two"))
    assert answer["warnings"][0].startswith("2 of 4 replicas fit now")


async def test_templates_are_read_only_where_a_limit_counts_what_they_claim() -> None:
    advised = with_templates(WARN)
    assert "warnings" not in await advised.create(with_claims(3, "gone"))
    assert advised.webhook.owners.asked == []


async def test_more_templates_than_are_looked_at_are_told() -> None:
    advised = with_templates()
    answer = await advised.create(with_claims(1, *(f"t{at}" for at in range(33))))
    assert "more than 32 claims are not looked at" in answer["warnings"][0]
    assert advised.webhook.owners.asked == []


async def test_while_the_claims_are_not_known_that_is_said() -> None:
    advised = with_templates(two=2)
    advised.webhook.names.unknown = {"resourceclaims.resource.k8s.io"}
    answer = await advised.create(with_claims(4, "two"))
    assert answer["warnings"] == [f"{UNKNOWN}the resourceclaims.resource.k8s.io are not all known yet"]


# What the classes of a cluster add.

CPU_2 = "version: 1\ndefaults: {user: {hard: {cpu: 2}}}\n"


def of_class(runtime_class: str, replicas: int) -> Json:
    spec = {"runtimeClassName": runtime_class, "containers": [{"resources": {"requests": {"cpu": "500m"}}}]}
    return deployment(replicas, template={"spec": spec})


def with_classes() -> Advised:
    advised = Advised(CPU_2)
    advised.webhook.classes.by_runtime_class = {"kata": {"cpu": parse("250m")}, "small": {"cpu": parse("1m")}}
    return advised


async def test_the_overhead_of_a_runtime_class_counts() -> None:
    answer = await with_classes().create(of_class("kata", 4))
    assert answer["warnings"] == [
        "2 of 4 replicas fit now: over quota defaults.user: requests.cpu requested 3, free 2 of 2"
    ]


async def test_a_runtime_class_that_does_not_exist_adds_nothing() -> None:
    assert "warnings" not in await with_classes().create(of_class("gvisor", 4))


async def test_runtime_classes_are_read_only_for_pods_that_have_one() -> None:
    advised = with_classes()
    await advised.create(deployment(4))
    assert advised.webhook.classes.reads == []


async def test_another_runtime_class_is_judged_by_its_overhead() -> None:
    """Four fit with the small one and without any."""
    advised = with_classes()
    small, kata, none = of_class("small", 2), of_class("kata", 2), deployment(2, cpu="500m")
    advised.has("web-1", "web-2")
    advised.webhook.shows("other", {"requests.cpu": 10**9})

    for old, new, told in ((none, kata, True), (small, kata, True), (kata, small, False), (kata, none, False)):
        assert any("over quota" in each for each in (await advised.update(new, old)).get("warnings", [])) is told


OF_CLASS = """\
version: 1
defaults:
  user:
    scoped:
    - scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [usual]}]}
      hard: {pods: 2}
"""
EXEMPT_CLASS = f"{WARN}exempt: [{{priorityClass: usual, reason: of the platform}}]\n"


def of_priority(name: str | None, replicas: int) -> Json:
    return deployment(replicas, template={"spec": {"priorityClassName": name, "containers": [{"name": "c"}]}})


@pytest.mark.parametrize("policy", [OF_CLASS, EXEMPT_CLASS], ids=["a scope", "an exemption"])
async def test_pods_without_a_priority_class_are_judged_by_the_default_one(policy: str) -> None:
    advised = Advised(policy)

    async def is_told(default: str, written: str | None) -> bool:
        advised.webhook.classes.default_priority = default
        return "warnings" in await advised.create(of_priority(written, 5))

    by_class = policy == OF_CLASS
    assert await is_told("usual", None) is by_class
    assert await is_told("", None) is not by_class
    assert await is_told("high", "usual") is by_class
    assert await is_told("usual", "high") is not by_class


async def test_the_default_priority_class_is_read_only_where_it_matters() -> None:
    for policy, written, reads in (
        (WARN, None, []),
        (OF_CLASS, "high", []),
        (OF_CLASS, None, ["priority-classes"]),
        (EXEMPT_CLASS, None, ["priority-classes"]),
    ):
        advised = Advised(policy)
        await advised.create(of_priority(written, 5))
        assert advised.webhook.classes.reads == reads


async def test_while_priority_classes_cannot_be_read_that_is_said() -> None:
    advised = Advised(OF_CLASS)
    advised.webhook.classes.trouble = "the API server is down"
    answer = await advised.create(of_priority(None, 5))
    assert answer == {"uid": "call-1", "allowed": True, "warnings": [f"{UNKNOWN}the API server is down"]}


async def test_while_runtime_classes_cannot_be_read_that_is_said() -> None:
    advised = with_classes()
    advised.webhook.classes.trouble = "the API server is down"
    answer = await advised.create(of_class("kata", 4))
    assert answer == {"uid": "call-1", "allowed": True, "warnings": [f"{UNKNOWN}the API server is down"]}


UNKNOWN = "could not determine whether its pods fit: "


async def test_what_cannot_be_told_is_said_and_refuses_nothing() -> None:
    advised = Advised(DENY)
    advised.webhook.limit_ranges.trouble = "the API server is down"
    answer = await advised.create(deployment(9))
    assert answer == {"uid": "call-1", "allowed": True, "warnings": [f"{UNKNOWN}the API server is down"]}


async def test_and_is_reported_with_its_reason() -> None:
    advised = Advised(DENY)
    told: list[str] = []
    advised.advice = replace(advised.advice, on_untold=lambda error: told.append(error.reason))
    advised.webhook.limit_ranges.trouble = "the API server is down"
    await advised.create(deployment(9))
    assert told == ["limit-ranges"]


async def test_while_the_pods_are_not_known_that_is_said() -> None:
    advised = Advised(DENY)
    advised.webhook.names.unknown = {"pods"}
    answer = await advised.create(deployment(9))
    assert answer["warnings"] == [f"{UNKNOWN}the pods are not all known yet"]


async def test_while_the_watch_is_behind_that_is_said() -> None:
    advised = Advised(DENY)
    advised.webhook.condition = Condition(ok=False, reason="watch-behind", message="our watch is behind")
    answer = await advised.create(deployment(9))
    assert answer["warnings"] == [f"{UNKNOWN}our watch is behind"]


async def test_an_amount_that_cannot_be_read_is_named() -> None:
    answer = await Advised(DENY).create(deployment(9, cpu="much"))
    assert answer["allowed"]
    assert answer["warnings"][0].startswith(f"{UNKNOWN}spec.containers[0].resources.requests.cpu: ")


@pytest.mark.parametrize(
    ("resource", "operation"),
    [
        ("deployments.apps", "DELETE"),
        ("deployments.apps/status", "UPDATE"),
        ("pods", "CREATE"),
        ("widgets.example.com", "CREATE"),
    ],
)
async def test_nothing_is_said_of_anything_else(resource: str, operation: str) -> None:
    answer = await Advised(DENY).ask(operation, deployment(9), deployment(1), resource=resource)
    assert answer == {"uid": "call-1", "allowed": True}


def test_the_shape_reads_what_the_fakes_hold() -> None:
    read = msgspec.json.decode(json.dumps(deployment(2)), type=Workload)
    assert read.spec.replicas == 2
