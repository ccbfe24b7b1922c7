"""
The end-to-end cases of Kubernetes' ResourceQuota, each with real ResourceQuotas and with the same limits of a policy.

Source: `test/e2e/apimachinery/resource_quota.go` of Kubernetes 1.37.2, case by case; what is used after each step is
written there. Left out: services, secrets, ConfigMaps, ReplicationControllers, ReplicaSets and custom resources, which
userquota does not count, and the cases about the API of ResourceQuota itself (list, patch, deletecollection, a status
that is written by hand): a policy has no status.

All cases run at once, each in two namespaces, step by step; then the tests look at what came out.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster.quotas import (
    Quota,
    Used,
    are_equal,
    away,
    counted,
    counted_by_userquota,
    nanos,
    policy_with,
    put_quotas,
    selecting,
)
from tests.cluster.running import RunningWebhook, eventually
from tests.replicated.asking import Asking

GOLD, SILVER = "gold", "silver"
PODS, CLAIMS = "api/v1/pods", "api/v1/persistentvolumeclaims"
RESOURCE_CLAIMS, VOLUMES = "apis/resource.k8s.io/v1/resourceclaims", "api/v1/persistentvolumes"
SETTLED_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Step:
    """A request in both namespaces, or other *quotas*; after it so much is *used* of each quota."""

    method: str
    path: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    used: Sequence[Used] = ()
    is_refused: bool = False
    quotas: Sequence[Quota] | None = None
    delay: str = ""
    """Why ResourceQuota does not count it before its next full recount, which is every five minutes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A story under *quotas*."""

    quotas: Sequence[Quota]
    steps: Sequence[Step]


@dataclass(slots=True)
class Outcome:
    """What came out of one step: HTTP statuses, messages, and what is used of each quota."""

    ours: tuple[int, str] = (0, "")
    theirs: tuple[int, str] = (0, "")
    used_by_us: Sequence[Used] = ()
    used_by_them: Sequence[Used] = ()

    @property
    def agrees(self) -> bool:
        return all(are_equal(*each) for each in zip(self.used_by_us, self.used_by_them, strict=True))


def create(path: str, body: Mapping[str, Any], *used: Used) -> Step:
    return Step("POST", path, body, used)


def refused(path: str, body: Mapping[str, Any], *used: Used) -> Step:
    return Step("POST", path, body, used, is_refused=True)


def delete(path: str, name: str, *used: Used) -> Step:
    return Step("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0}, used)


def patch(path: str, name: str, body: Mapping[str, Any], *used: Used) -> Step:
    return Step("PATCH", f"{path}/{name}", body, used)


def bound(name: str, *used: Used) -> Step:
    return Step("GET", f"{CLAIMS}/{name}", {}, used)


def limits(*quotas: Quota) -> Step:
    return Step("", quotas=quotas)


def pod(
    name: str, requests: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    container = {
        "name": "pause",
        "image": "example/x",
        "resources": {"requests": requests or {}, "limits": limits or {}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def claim(name: str, **spec: str) -> dict[str, Any]:
    common = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {**common, **spec}}


def volume(claim_name: str, volume_class: str) -> dict[str, Any]:
    """Return the volume of a claim; NAMESPACE stands for that of the claim."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeAttributesClassName": volume_class,
        "claimRef": {"namespace": "NAMESPACE", "name": claim_name},
        "csi": {"driver": "fake.csi.k8s.io", "volumeHandle": "volume-handle"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "NAMESPACE-volume"}, "spec": spec}


def resource_claim(name: str) -> dict[str, Any]:
    requests = [{"name": "req-0", "exactly": {"deviceClassName": GOLD}}]
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}}
    return {**body, "spec": {"devices": {"requests": requests}}}


DONGLE = "requests.example.com/dongle"
OF_GOLD = f"{GOLD}.storageclass.storage.k8s.io/"
DEVICES = f"{GOLD}.deviceclass.resource.k8s.io/devices"
COUNT = "count/resourceclaims.resource.k8s.io"
EVERYTHING = {
    "hard": {
        "pods": "5",
        "cpu": "1",
        "memory": "500Mi",
        "ephemeral-storage": "50Gi",
        DONGLE: "3",
        "persistentvolumeclaims": "10",
        "requests.storage": "10Gi",
        f"{OF_GOLD}persistentvolumeclaims": "10",
        f"{OF_GOLD}requests.storage": "10Gi",
    }
}
WITH_DEVICES = {"hard": {**EVERYTHING["hard"], COUNT: "1", DEVICES: "1"}}
COMPUTE = {
    "requests.cpu": "1",
    "requests.memory": "500Mi",
    "limits.cpu": "2",
    "limits.memory": "1Gi",
}
NO_COMPUTE = {"pods": "0", **dict.fromkeys(COMPUTE, "0")}
REQUESTS, LIMITS = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
ONE_POD = {"pods": "1", "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1", "limits.memory": "400Mi"}
NO_CLAIM, ONE_CLAIM = (
    {"persistentvolumeclaims": "0", "requests.storage": "0"},
    {"persistentvolumeclaims": "1", "requests.storage": "1Gi"},
)
ONE_OF_GOLD = {f"{OF_GOLD}persistentvolumeclaims": "1", f"{OF_GOLD}requests.storage": "1Gi"}
NONE, ONE, TWO = ({"pods": number} for number in "012")
FIRST_POD = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
DONGLES = {"example.com/dongle": "2"}


def opposites(one: str, other: str, *, by_selector: bool, **hard: str) -> list[dict[str, Any]]:
    """Return two quotas, one for each scope, in one of the two ways to write scopes."""
    if by_selector:
        return [selecting(one, **hard), selecting(other, **hard)]
    return [{"scopes": [each], "hard": hard} for each in (one, other)]


def terminating(*, by_selector: bool) -> Case:
    count = "1" if by_selector else "5"
    quotas = opposites("Terminating", "NotTerminating", by_selector=by_selector, pods=count, **COMPUTE)
    long_running = pod("test-pod", REQUESTS, LIMITS)
    ending = pod("terminating-pod", REQUESTS, LIMITS, activeDeadlineSeconds=3600)
    begin = create(PODS, long_running, NO_COMPUTE, ONE_POD)
    end = (
        create(PODS, ending, ONE_POD, NO_COMPUTE),
        delete(PODS, "terminating-pod", NO_COMPUTE, NO_COMPUTE),
    )
    if not by_selector:
        return Case(quotas, [begin, delete(PODS, "test-pod", NO_COMPUTE, NO_COMPUTE), *end])
    deadline = {"spec": {"activeDeadlineSeconds": 3600}}
    return Case(
        quotas,
        [
            begin,
            patch(PODS, "test-pod", deadline, ONE_POD, NO_COMPUTE),
            refused(PODS, ending, ONE_POD, NO_COMPUTE),
            delete(PODS, "test-pod", NO_COMPUTE, NO_COMPUTE),
            *end,
        ],
    )


def best_effort(*, by_selector: bool) -> Case:
    return Case(
        opposites("BestEffort", "NotBestEffort", by_selector=by_selector, pods="5"),
        [
            create(PODS, pod("test-pod"), ONE, NONE),
            delete(PODS, "test-pod", NONE, NONE),
            create(PODS, pod("burstable-pod", REQUESTS, LIMITS), NONE, ONE),
            delete(PODS, "burstable-pod", NONE, NONE),
        ],
    )


def of_priority(name: str, class_name: str, **resources: Mapping[str, str]) -> dict[str, Any]:
    return pod(name, **resources, priorityClassName=class_name)


def priority(operator: str, *values: str, pods: str = "1") -> list[dict[str, Any]]:
    return [selecting("PriorityClass", operator, *values, pods=pods)]


def volume_class(name: str) -> dict[str, Any]:
    hard = {"requests.storage": "5Gi", "persistentvolumeclaims": "1"}
    return selecting("VolumeAttributesClass", "In", name, **hard)


STATUSES_ONLY = (
    "a pod that was resized is counted anew when the resources in its status change; this one has no status yet"
)

CASES = {
    "the life of a pod": Case(
        [EVERYTHING],
        [
            create(
                PODS,
                pod("test-pod", FIRST_POD, DONGLES),
                {"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", DONGLE: "2"},
            ),
            refused(PODS, pod("fail-pod", {"cpu": "600m", "memory": "100Mi"})),
            refused(
                PODS,
                pod(
                    "fail-pod-for-extended-resource",
                    {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "30Gi", **DONGLES},
                    DONGLES,
                ),
            ),
            Step(
                "PATCH",
                f"{PODS}/test-pod",
                {"spec": {"containers": [{"name": "pause", "resources": {"requests": {"cpu": "100m"}}}]}},
                [{"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", DONGLE: "2"}],
                is_refused=True,  # by the API server itself
            ),
            delete(PODS, "test-pod", {"pods": "0", "cpu": "0", "memory": "0", "ephemeral-storage": "0", DONGLE: "0"}),
        ],
    ),
    "the life of a ResourceClaim": Case(
        [WITH_DEVICES],
        [
            create(RESOURCE_CLAIMS, resource_claim("test-claim"), {COUNT: "1", DEVICES: "1"}),
            refused(RESOURCE_CLAIMS, resource_claim("another"), {COUNT: "1", DEVICES: "1"}),
            delete(RESOURCE_CLAIMS, "test-claim", {COUNT: "0", DEVICES: "0"}),
        ],
    ),
    "the life of a persistent volume claim": Case(
        [EVERYTHING],
        [create(CLAIMS, claim("test-claim"), ONE_CLAIM), delete(CLAIMS, "test-claim", NO_CLAIM)],
    ),
    "the life of a persistent volume claim with a storage class": Case(
        [EVERYTHING],
        [
            create(CLAIMS, claim("test-claim", storageClassName=GOLD), {**ONE_CLAIM, **ONE_OF_GOLD}),
            delete(CLAIMS, "test-claim", {**NO_CLAIM, **dict.fromkeys(ONE_OF_GOLD, "0")}),
        ],
    ),
    "terminating scopes": terminating(by_selector=False),
    "terminating scopes through scope selectors": terminating(by_selector=True),
    "best effort scope": best_effort(by_selector=False),
    "best effort scope using scope selectors": best_effort(by_selector=True),
    "update and delete": Case(
        [{"hard": {"cpu": "1", "memory": "500Mi"}}],
        [
            refused(PODS, pod("test-pod", {"cpu": "2", "memory": "1Gi"}), {"cpu": "0", "memory": "0"}),
            limits({"hard": {"cpu": "2", "memory": "1Gi"}}),
            create(PODS, pod("test-pod", {"cpu": "2", "memory": "1Gi"}), {"cpu": "2", "memory": "1Gi"}),
            refused(PODS, pod("another", {"cpu": "1m", "memory": "1"})),
            limits(),
            create(PODS, pod("another", {"cpu": "1m", "memory": "1"})),
        ],
    ),
    "volume attributes class, 2 claims of the same": Case(
        [volume_class(GOLD)],
        [
            create(CLAIMS, claim("test-claim-1", storageClassName="", volumeAttributesClassName=GOLD), ONE_CLAIM),
            refused(CLAIMS, claim("test-claim-2", storageClassName="", volumeAttributesClassName=GOLD), ONE_CLAIM),
            delete(CLAIMS, "test-claim-1", NO_CLAIM),
        ],
    ),
    "volume attributes class, a claim that changes it": Case(
        [volume_class(GOLD), volume_class(SILVER)],
        [
            create(VOLUMES, volume("test-claim", GOLD)),
            create(
                CLAIMS,
                claim("test-claim", storageClassName="", volumeAttributesClassName=GOLD, volumeName="NAMESPACE-volume"),
                ONE_CLAIM,
                NO_CLAIM,
            ),
            bound("test-claim", ONE_CLAIM, NO_CLAIM),
            patch(CLAIMS, "test-claim", {"spec": {"volumeAttributesClassName": SILVER}}, ONE_CLAIM, ONE_CLAIM),
            patch(VOLUMES, "NAMESPACE-volume", {"spec": {"volumeAttributesClassName": SILVER}}),
            patch(
                CLAIMS,
                "test-claim/status",
                {"status": {"currentVolumeAttributesClassName": SILVER}},
                NO_CLAIM,
                ONE_CLAIM,
            ),
        ],
    ),
    "priority class, a pod of the same": Case(
        priority("In", "pclass1"),
        [create(PODS, of_priority("testpod", "pclass1"), ONE), delete(PODS, "testpod", NONE)],
    ),
    "priority class, 2 pods of the same": Case(
        priority("In", "pclass1"),
        [
            create(PODS, of_priority("testpod-1", "pclass1"), ONE),
            refused(PODS, of_priority("testpod-2", "pclass1"), ONE),
            delete(PODS, "testpod-1", NONE),
        ],
    ),
    "priority class, 2 pods of another": Case(
        priority("In", "pclass2"),
        [
            create(PODS, of_priority("testpod-1", "pclass1"), NONE),
            create(PODS, of_priority("testpod-2", "pclass1"), NONE),
            delete(PODS, "testpod-1", NONE),
            delete(PODS, "testpod-2", NONE),
        ],
    ),
    "multiple priority classes, 2 pods of them": Case(
        priority("In", "pclass1", "pclass2", pods="2"),
        [
            create(PODS, of_priority("testpod-1", "pclass1"), ONE),
            create(PODS, of_priority("testpod-2", "pclass2"), TWO),
            delete(PODS, "testpod-1", ONE),
            delete(PODS, "testpod-2", NONE),
        ],
    ),
    "priority class, NotIn": Case(
        priority("NotIn", "pclass1"),
        [create(PODS, of_priority("testpod", "pclass1"), NONE), delete(PODS, "testpod", NONE)],
    ),
    "priority class, Exists": Case(
        priority("Exists"),
        [create(PODS, of_priority("testpod", "pclass1"), ONE), delete(PODS, "testpod", NONE)],
    ),
    "priority class, cpu and memory": Case(
        [
            selecting(
                "PriorityClass",
                "In",
                "pclass1",
                **{"pods": "1", "requests.cpu": "1", "requests.memory": "1Gi"},
                **{"limits.cpu": "3", "limits.memory": "3Gi"},
            )
        ],
        [
            create(
                PODS,
                of_priority(
                    "testpod",
                    "pclass1",
                    requests={"cpu": "1", "memory": "1Gi"},
                    limits={"cpu": "2", "memory": "2Gi"},
                ),
                {"pods": "1", "requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "2Gi"},
            ),
            delete(PODS, "testpod", NO_COMPUTE),
        ],
    ),
    "cross namespace pod affinity": Case(
        [selecting("CrossNamespacePodAffinity", pods="5")],
        [
            create(PODS, pod("no-cross-namespace-affinity", affinity=away()), NONE),
            create(PODS, pod("with-namespaces", affinity=away("ns1")), ONE),
            create(
                PODS,
                pod(
                    "with-namespace-selector",
                    affinity=away(
                        namespaceSelector={"matchExpressions": [{"key": "team", "operator": "In", "values": ["ads"]}]}
                    ),
                ),
                TWO,
            ),
            delete(PODS, "no-cross-namespace-affinity", TWO),
            delete(PODS, "with-namespaces", ONE),
            delete(PODS, "with-namespace-selector", NONE),
        ],
    ),
    # Like cases of the admission plugin's own tests.
    "a limited resource that a pod does not request": Case(
        [{"hard": {"cpu": "1"}}],
        [
            refused(PODS, pod("bare"), {"cpu": "0"}),
            create(PODS, pod("declares", {"cpu": "1"}), {"cpu": "1"}),
        ],
    ),
    "shrinking and unrelated changes above the limit": Case(
        [{"hard": {"cpu": "1", "memory": "1Gi"}}],
        [
            create(PODS, pod("test-pod", {"cpu": "1", "memory": "1Gi"}), {"cpu": "1", "memory": "1Gi"}),
            limits({"hard": {"cpu": "500m", "memory": "1Gi"}}),
            patch(PODS, "test-pod", {"metadata": {"labels": {"a": "b"}}}, {"cpu": "1", "memory": "1Gi"}),
            Step(
                "PATCH",
                f"{PODS}/test-pod/resize",
                {"spec": {"containers": [{"name": "pause", "resources": {"requests": {"cpu": "900m"}}}]}},
                [{"cpu": "900m", "memory": "1Gi"}],
                delay=STATUSES_ONLY,
            ),
            Step(
                "PATCH",
                f"{PODS}/test-pod/resize",
                {"spec": {"containers": [{"name": "pause", "resources": {"requests": {"cpu": "901m"}}}]}},
                [{"cpu": "900m", "memory": "1Gi"}],
                is_refused=True,
                delay=STATUSES_ONLY,
            ),
        ],
    ),
}


class Stage:
    """The two namespaces of every case."""

    def __init__(self, running: RunningWebhook, asking: Asking) -> None:
        self._running = running
        self._asking = asking
        token = secrets.token_hex(3)
        self.ours = {name: f"cases-{token}-{position}-ours" for position, name in enumerate(CASES)}
        self._theirs = {name: f"cases-{token}-{position}-theirs" for position, name in enumerate(CASES)}
        self._quotas = {name: list(case.quotas) for name, case in CASES.items()}

    async def prepare(self) -> None:
        for number in (1, 2):
            body = {"metadata": {"name": f"pclass{number}"}, "value": 1000}
            await self._asking.ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body=body)
        await asyncio.gather(*map(self._make_namespace, (*self.ours.values(), *self._theirs.values())))
        await asyncio.gather(
            *(put_quotas(self._asking, self._theirs[name], quotas) for name, quotas in self._quotas.items())
        )
        self._put_policy()

    async def clear(self) -> None:
        """Delete everything, and check that no reservation is left for the tests of other files."""
        self._running.set_policy("version: 1\n")
        namespaces = [*self.ours.values(), *self._theirs.values()]
        await asyncio.gather(
            *(self._asking.ask("DELETE", f"/api/v1/namespaces/{each}") for each in namespaces),
            *(self._asking.ask("DELETE", f"/{VOLUMES}/{each}-volume") for each in namespaces),
            *(
                self._asking.ask("DELETE", f"/apis/scheduling.k8s.io/v1/priorityclasses/pclass{number}")
                for number in (1, 2)
            ),
        )
        eventually(lambda: "userquota_reservations 0.0" in self._running.metrics())

    async def play(self) -> dict[str, list[Outcome]]:
        """Run every case a step further, and count, until no case has a step left."""
        outcomes: dict[str, list[Outcome]] = {name: [] for name in CASES}
        for position in range(max(len(case.steps) for case in CASES.values())):
            steps = {name: case.steps[position] for name, case in CASES.items() if position < len(case.steps)}
            await self._change_quotas(steps)
            done = dict(zip(steps, await asyncio.gather(*(self._take(*each) for each in steps.items())), strict=True))
            end = time.monotonic() + SETTLED_WITHIN
            while await self._count(steps, done) and time.monotonic() < end:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.2)
            self._put_policy()
            for name, outcome in done.items():
                outcomes[name].append(outcome)
        return outcomes

    async def _make_namespace(self, name: str) -> None:
        body = {"metadata": {"name": name}}
        assert (await self._asking.ask("POST", "/api/v1/namespaces", body=body)).status == 201
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        while (await self._asking.ask("GET", path)).status != 200:  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.1)

    def _put_policy(self) -> None:
        self._running.set_policy(policy_with({self.ours[name]: quotas for name, quotas in self._quotas.items()}))

    async def _change_quotas(self, steps: Mapping[str, Step]) -> None:
        for name, step in steps.items():
            if step.quotas is not None:
                path = f"/api/v1/namespaces/{self._theirs[name]}/resourcequotas"
                assert (await self._asking.ask("DELETE", path)).status == 200
                await put_quotas(self._asking, self._theirs[name], step.quotas)
                self._quotas[name] = list(step.quotas)
        self._put_policy()

    async def _take(self, name: str, step: Step) -> Outcome:
        if step.quotas is not None:
            return Outcome()
        ours, theirs = await asyncio.gather(
            self._ask(step, self.ours[name]),
            # What userquota allows and ResourceQuota then refuses would stay reserved for 40 seconds.
            self._ask(step, self._theirs[name], query="?dryRun=All" if step.is_refused else ""),
        )
        return Outcome(ours, theirs)

    async def _ask(self, step: Step, namespace: str, *, query: str = "") -> tuple[int, str]:
        group, _, rest = step.path.replace("NAMESPACE", namespace).partition("v1/")
        inside = "" if rest.startswith("persistentvolumes") else f"namespaces/{namespace}/"
        body = json.loads(json.dumps(step.body).replace("NAMESPACE", namespace))
        kind = "application/json"
        if step.method == "PATCH":
            is_strategic = "containers" in step.body.get("spec", ())
            kind = f"application/{'strategic-' if is_strategic else ''}merge-patch+json"
        end = time.monotonic() + SETTLED_WITHIN
        while True:
            answer = await self._asking.ask(
                step.method, f"/{group}v1/{inside}{rest}{query}", body=body, content_type=kind
            )
            if step.method != "GET" or '"phase":"Bound"' in answer.text or time.monotonic() > end:
                return answer.status, answer.message if answer.status >= 400 else ""
            await asyncio.sleep(0.1)

    async def _count(self, steps: Mapping[str, Step], done: Mapping[str, Outcome]) -> bool:
        """Look what is used, and return whether it will still change: deletions are counted a moment later."""
        quotas = {self.ours[name]: self._quotas[name] for name in done}
        ours = await counted_by_userquota(self._running, self._asking, quotas)
        for name, outcome in done.items():
            outcome.used_by_us = ours[self.ours[name]]
            outcome.used_by_them = [
                await counted(self._asking, self._theirs[name], position) for position in range(len(self._quotas[name]))
            ]
        return not all(outcome.agrees or steps[name].delay for name, outcome in done.items())


@pytest.fixture(scope="module")
def outcomes(running: RunningWebhook) -> dict[str, list[Outcome]]:
    async def play() -> dict[str, list[Outcome]]:
        async with Asking(running.cluster) as asking:
            stage = Stage(running, asking)
            await stage.prepare()
            try:
                return await stage.play()
            finally:
                await stage.clear()

    return asyncio.run(play())


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_resource_quota_comes_out_the_same(outcomes: dict[str, list[Outcome]], name: str) -> None:
    """What is refused and how, and what is used after each step, of both."""
    for step, outcome in zip(CASES[name].steps, outcomes[name], strict=True):
        seen = f"{step.method} {step.path}: {outcome}"
        assert (outcome.theirs[0] >= 400) is step.is_refused, seen
        assert outcome.ours[0] == outcome.theirs[0], seen
        if step.is_refused and outcome.theirs[0] == 403:
            is_ours_exceeded = "exceeded quota: " in outcome.ours[1] or "larger than quota: " in outcome.ours[1]
            assert is_ours_exceeded is ("exceeded quota: " in outcome.theirs[1]), seen
            assert ("must specify" in outcome.ours[1]) is ("must specify" in outcome.theirs[1]), seen
            assert is_ours_exceeded is not ("must specify" in outcome.ours[1]), seen
        assert outcome.agrees is (not step.delay), seen
        for expected, used in zip(step.used, outcome.used_by_us, strict=False):
            assert nanos(expected).items() <= nanos(used).items(), seen
