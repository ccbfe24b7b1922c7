"""A check of a caller knows what the webhook knows, and says nothing to those who may not submit such objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from webhook.admission.check_status import CheckStatus, status_of
from webhook.admission.manifests import TooManyError
from webhook.documents.case_text import NamespaceFacts
from webhook.documents.object_text import object_in
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.pods import PODS
from webhook.kinds.workloads import WORKLOADS
from webhook.ledger.memory import MemoryLedger
from webhook.ports import READY, Caller, UnavailableError
from webhook.quota.missing import Bounds
from webhook.quota.quantity import parse
from webhook.quota.resources import ResourceList
from webhook.quota.subject import Payer
from webhook.wiring.file_kinds import kinds_under
from webhook.wiring.live_check import LiveCheck
from webhook.wiring.simulated_cluster import SimulatedCluster, Standing
from webhook.wiring.standalone import reviewers

Json = dict[str, Any]
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 4, cpu: 4}}}\n"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
DEPLOYMENTS = next(each for each in WORKLOADS if each.resource == "deployments.apps")


class Rights:
    """What callers may do, as `verb resource namespace/name`; keeps what was asked."""

    def __init__(self, *given: str) -> None:
        self.given = frozenset(given)
        self.asked: list[str] = []

    async def may(self, caller: Caller, verb: str, resource: str, *, namespace: str = "", name: str = "") -> bool:
        assert caller.name == "alice"
        self.asked.append(f"{verb} {resource} {namespace}/{name}")
        return self.asked[-1] in self.given


class Cluster(SimulatedCluster):
    """One whose namespaces have to exist."""

    bounds_of: Mapping[str, Bounds] = {}
    overhead: Mapping[str, ResourceList] = {}
    priority_class = ""

    async def overheads(self) -> Mapping[str, ResourceList]:
        return self.overhead

    async def default_priority_class(self) -> str:
        return self.priority_class

    async def labels(self, name: str) -> Mapping[str, str]:
        if name not in self._namespaces:
            raise UnavailableError("namespace", f"namespace {name} is not there")
        return self.known(name)

    async def bounds(self, namespace: str) -> Mapping[str, Bounds]:
        return self.bounds_of if namespace == "red" else {}


class Stage:
    def __init__(self, text: str = POLICY) -> None:
        policy = read_policy([PolicyText("policy.yaml", text)]).policy
        assert policy is not None
        clock = Standing(NOW, policy)
        self.cluster = Cluster(policy, {"red": NamespaceFacts({}, {}), "kube-system": NamespaceFacts({}, {})})
        ledger = MemoryLedger(
            self.cluster.index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY
        )
        handler, advice = reviewers(self.cluster, clock, ledger, clock, kinds_under(policy))
        self.rights = Rights("create pods red/", "create deployments.apps red/", "create pods blue/", "patch pods red/")
        self.live = LiveCheck(handler, advice, self.cluster.index, {"kube-system"}, self.rights, clock)

    async def check(self, *documents: Json, namespace: str = "red", groups: tuple[str, ...] = ()) -> CheckStatus:
        objects = [object_in(json.dumps(each).encode(), source="x") for each in documents]
        return status_of(await self.live.of(Caller("alice", groups), namespace, objects))

    async def texts(self, *documents: Json, namespace: str = "red") -> list[tuple[str, str]]:
        found = await self.check(*documents, namespace=namespace)
        return [(each.verdict, each.texts[0].partition(":")[0] if each.texts else "") for each in found.items]


def pod(name: str = "p", cpu: str | None = "1", **metadata: Any) -> Json:
    requests = {} if cpu is None else {"requests": {"cpu": cpu}}
    spec = {"containers": [{"name": "main", "resources": requests}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def deployment(replicas: int, cpu: str | None = "1") -> Json:
    spec = {"replicas": replicas, "template": {"spec": pod(cpu=cpu)["spec"]}, "selector": {"matchLabels": {}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def test_each_object_is_decided_on_what_those_before_it_leave_and_nothing_is_held() -> None:
    stage = Stage()
    for _ in range(2):
        found = await stage.check(pod("a", "3"), pod("b", "2"), pod("c", "1"), deployment(1))
        assert [each.verdict for each in found.items] == ["fits", "does not fit", "fits", "does not fit"]
        assert (found.adds["requests.cpu"], [each.free for each in found.limits]) == ("7", ["2", "0"])


async def test_rights_are_asked_once_for_all_objects_of_a_kind() -> None:
    stage = Stage()
    await stage.check(*(pod(f"p-{number}") for number in range(9)))
    assert stage.rights.asked == ["create pods red/"]


async def test_on_what_a_caller_may_not_create_there_is_no_verdict() -> None:
    stage = Stage()
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {}}
    stage.cluster.put(PODS, {**pod("secret", uid="u", namespace="green"), "kind": "Pod"}, Payer("bob"))
    refused = "you may not create pods in namespace green"
    assert await stage.texts(pod("secret"), pod("other"), namespace="green") == [("no verdict", refused)] * 2
    why = "you may not create persistentvolumeclaims in namespace red"
    assert await stage.texts(claim, pod()) == [("no verdict", why), ("fits", "")]


async def test_what_exists_is_changed_by_those_who_may_change_it() -> None:
    stage = Stage()
    stage.cluster.put(PODS, pod("mine", cpu="3", uid="u", namespace="red"), Payer("alice"))
    stored = {**deployment(1), "metadata": {"name": "web", "namespace": "red", "uid": "d"}}
    stage.cluster.put(DEPLOYMENTS, stored, Payer("alice"))
    there = "there is such an object in namespace red, and you may not change it"
    found = await stage.texts(pod("mine", cpu="3"), deployment(2))
    assert found == [("fits", ""), ("no verdict", there)]

    stage.rights.given = frozenset({"patch deployments.apps red/web"})
    assert await stage.texts(deployment(1)) == [
        ("costs nothing", "it makes no pods now, and needs no more than it has")
    ]
    assert (await stage.texts({**deployment(1), "metadata": {"name": "new"}}))[0][0] == "no verdict"


async def test_a_namespace_has_to_be_there_and_to_be_bound() -> None:
    stage = Stage()
    assert await stage.texts(pod(), namespace="blue") == [("no verdict", "namespace blue is not there")]
    exempt = "userquota is not asked in namespace kube-system"
    assert await stage.texts(pod(), namespace="kube-system") == [("costs nothing", exempt)]


async def test_a_pod_and_a_template_have_the_defaults_of_limit_ranges() -> None:
    stage = Stage("version: 1\nmissing: {cpu: require}\ndefaults: {user: {hard: {cpu: 4}}}\n")
    assert [each[0] for each in await stage.texts(pod(cpu=None), deployment(1, cpu=None))] == ["does not fit"] * 2
    stage.cluster.bounds_of = {"cpu": Bounds(request=parse("3"))}
    found = await stage.check(pod(cpu=None), deployment(1, cpu=None))
    assert [(each.verdict, each.adds["requests.cpu"]) for each in found.items] == [("fits", "3"), ("does not fit", "3")]


async def test_a_pod_has_the_overhead_of_its_runtime_class() -> None:
    stage = Stage()
    stage.cluster.overhead = {"kata": {"cpu": parse("250m")}}
    boxed = pod()
    boxed["spec"]["runtimeClassName"] = "kata"
    assert (await stage.check(boxed)).adds["requests.cpu"] == "1250m"


async def test_a_pod_is_in_the_scopes_of_the_default_priority_class() -> None:
    expression = "{scopeName: PriorityClass, operator: In, values: [low]}"
    scoped = f"[{{scopeSelector: {{matchExpressions: [{expression}]}}, hard: {{pods: 0}}}}]"
    stage = Stage(f"version: 1\ndefaults: {{user: {{hard: {{pods: 4}}, scoped: {scoped}}}}}\n")
    assert (await stage.check(pod())).fits
    stage.cluster.priority_class = "low"
    assert not (await stage.check(pod())).fits


async def test_the_groups_of_the_caller_count() -> None:
    stage = Stage("version: 1\ngroups: {ml: {pool: {hard: {pods: 0}}}}\n")
    assert [(await stage.check(pod(), groups=groups)).fits for groups in ((), ("ml",))] == [True, False]


async def test_a_check_ends_though_the_api_server_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.wiring.live_check._WITHIN", 0.01)
    stage = Stage()

    async def silent(*_: object, **__: object) -> bool:
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr(stage.rights, "may", silent)
    with pytest.raises(UnavailableError, match="the API server did not say within 0 seconds all that"):
        await stage.check(pod())


async def test_more_than_is_decided_in_one_step_is_refused() -> None:
    stage = Stage()
    services = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s-{number}"}} for number in range(300)]
    assert len((await stage.check(*services)).items) == 300
    with pytest.raises(TooManyError, match="151 objects that count, and at most 150 are decided together"):
        await stage.check(*(pod(f"p-{number}") for number in range(151)))


async def test_a_template_for_claims_among_the_objects_is_as_if_it_were_stored() -> None:
    stage = Stage("version: 1\ndefaults: {user: {hard: {count/resourceclaims.resource.k8s.io: 2}}}\n")
    claiming = deployment(2)
    claiming["spec"]["template"]["spec"]["resourceClaims"] = [{"name": "c", "resourceClaimTemplateName": "gpu"}]
    template = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "gpu"}}
    elsewhere = {**template, "metadata": {"name": "gpu", "namespace": "blue"}}

    assert [each.verdict for each in (await stage.check(claiming, template)).items] == ["fits", "costs nothing"]
    for others in ([], [elsewhere]):
        found = (await stage.check(claiming, *others)).items[0]
        assert found.verdict == "does not fit"
        assert found.texts[0].endswith("there is no ResourceClaimTemplate gpu")


async def test_what_only_an_earlier_policy_has_limited_is_not_told() -> None:
    stage = Stage()
    stage.live.handler.kinds.count(frozenset({"deployments.apps"}))
    assert dict((await stage.check(deployment(1))).adds) == {"count/pods": "1", "pods": "1", "requests.cpu": "1"}


async def test_a_kind_with_a_letter_wrong_has_no_verdict() -> None:
    wrong = {**deployment(1), "kind": "Deploymnt"}
    why = "there is no such kind in apps/v1, did you mean Deployment?"
    assert await Stage().texts(wrong) == [("no verdict", why)]


async def test_a_field_that_is_surely_misspelt_is_told() -> None:
    wrong = pod()
    wrong["spec"]["containers"][0]["resource"] = {"requests": {"cpu": 9}}
    del wrong["spec"]["containers"][0]["resources"]
    [item] = (await Stage().check(wrong)).items
    assert item.texts == ("spec.containers[0].resource: unknown field, did you mean resources?",)
