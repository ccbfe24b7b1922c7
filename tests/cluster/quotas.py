"""
Quotas that bind in two ways: as real ResourceQuotas, and as limits of a policy for the same namespace.

A quota is written as the `spec` of a ResourceQuota, which is also an entry of a policy. What userquota counts is read
from its refusals of dry runs, under a policy that allows none of what is limited.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tests.cluster.running import PATIENCE, RunningWebhook
from tests.replicated.asking import Asking
from webhook.quota import quantity
from webhook.quota.resources import canonical_name

Quota: TypeAlias = Mapping[str, Any]
"""`hard`, and `scopes` or a `scopeSelector`."""

Used: TypeAlias = dict[str, str]
"""Quantities by resource, as Kubernetes writes them."""

_EVERYTHING = "1000000Gi"
_CLAUSE = re.compile(
    r"(?:exceeded|larger than|also over) quota: (?P<entry>\S+), "
    r"requested: \S+, used: (?P<used>\S+), limited: (?P<limited>\S+), "
    r"reserved: (?P<reserved>\S+), free: "
)
_OF_CLAIMS = ("storage.k8s.io/", "persistentvolumeclaims", "requests.storage")
_OF_RESOURCE_CLAIMS = ("resourceclaims.resource.k8s.io", ".deviceclass.resource.k8s.io/devices")


def selecting(scope: str, operator: str = "Exists", *values: str, **hard: str) -> dict[str, Any]:
    """Return a quota with a `scopeSelector` of one expression."""
    expression = {"scopeName": scope, "operator": operator, **({"values": list(values)} if values else {})}
    return {"hard": hard, "scopeSelector": {"matchExpressions": [expression]}}


def policy_with(quotas: Mapping[str, Sequence[Quota]]) -> str:
    """
    Return a policy with the quotas of each namespace; at most one of each has no scopes.

    What is limited has to be declared, as under a ResourceQuota.
    """
    entries: dict[str, Any] = {}
    for namespace, listed in quotas.items():
        entry = entries[namespace] = {"hard": {}, "scoped": []}
        for each in listed:
            if _is_scoped(each):
                entry["scoped"].append(each)
            else:
                entry["hard"] = each["hard"]
    required = dict.fromkeys(("cpu", "memory", "limits.cpu", "limits.memory"), "require")
    return json.dumps({"version": 1, "missing": required, "namespaces": entries}) + "\n"


def closed(quotas: Mapping[str, Sequence[Quota]]) -> dict[str, list[Quota]]:
    """Return the quotas with nothing allowed, so that every request is refused with what is used."""
    return {
        namespace: [{**each, "hard": dict.fromkeys(each["hard"], "0")} for each in listed]
        for namespace, listed in quotas.items()
    }


async def counted_by_userquota(
    running: RunningWebhook, asking: Asking, quotas: Mapping[str, Sequence[Quota]]
) -> dict[str, list[Used]]:
    """Return what userquota counts for each quota of each namespace. The policy stays closed."""
    running.set_policy(policy_with(closed(quotas)))
    pairs = [(namespace, each) for namespace, listed in quotas.items() for each in listed]
    refusals = await asyncio.gather(*(_refusals(asking, namespace, each) for namespace, each in pairs))
    found: dict[str, dict[str, Used]] = {namespace: {} for namespace in quotas}
    for (namespace, _), listed in zip(pairs, refusals, strict=True):
        for message in listed:
            for entry, used in _read(message):
                found[namespace].setdefault(entry, {}).update(used)
    return {namespace: list(_in_order(namespace, listed, found[namespace])) for namespace, listed in quotas.items()}


async def counted_by_kubernetes(asking: Asking, namespace: str, quotas: Sequence[Quota]) -> list[Used]:
    """
    Return what the controller of ResourceQuota counts now.

    The quotas are made for that and are gone afterwards: a change of an object does not always lead to a new count, and
    a quota that stays would refuse pods that do not request what it limits.
    """
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    unreached = [{**each, "hard": dict.fromkeys(each["hard"], _EVERYTHING)} for each in quotas]
    await put_quotas(asking, namespace, unreached)
    used = [await counted(asking, namespace, position) for position in range(len(quotas))]
    assert (await asking.ask("DELETE", path)).status == 200
    return used


async def put_quotas(asking: Asking, namespace: str, quotas: Sequence[Quota]) -> None:
    """Create ResourceQuotas `quota-0`, `quota-1` and so on, and wait until they are in force."""
    for position, each in enumerate(quotas):
        body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": f"quota-{position}"}, "spec": each}
        answer = await asking.ask("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", body=body)
        assert answer.status == 201, answer.text
    for position in range(len(quotas)):
        await counted(asking, namespace, position)


async def counted(asking: Asking, namespace: str, position: int, *, within: float = PATIENCE) -> Used:
    """Return what is used of a ResourceQuota once it was counted."""
    end = time.monotonic() + within
    while True:
        answer = await asking.ask("GET", f"/api/v1/namespaces/{namespace}/resourcequotas/quota-{position}")
        found = json.loads(answer.text)
        status = found.get("status", {})
        if status.get("hard") and status["hard"].keys() == found["spec"]["hard"].keys() == status["used"].keys():
            return dict(status["used"])
        assert time.monotonic() < end, f"not counted within {within} s: {answer.text}"
        await asyncio.sleep(0.05)


async def agreed(
    running: RunningWebhook, asking: Asking, namespace: str, quotas: Sequence[Quota], *, within: float = 15
) -> list[Used]:
    """Return what both count for each quota, once they count the same. The policy stays closed."""
    end = time.monotonic() + within
    while True:
        theirs = await counted_by_kubernetes(asking, namespace, quotas)
        ours = (await counted_by_userquota(running, asking, {namespace: quotas}))[namespace]
        if all(are_equal(*each) for each in zip(ours, theirs, strict=True)):
            return theirs
        assert time.monotonic() < end, f"userquota counts {ours}, ResourceQuota {theirs}"


def are_equal(ours: Used, theirs: Used) -> bool:
    """Whether two counts are the same amounts, in whatever form."""
    return nanos(ours) == nanos(theirs)


def nanos(used: Used) -> dict[str, int]:
    """Return the exact amounts by canonical name."""
    return {canonical_name(name) or name: quantity.parse(text).nanos for name, text in used.items()}


def _is_scoped(quota: Quota) -> bool:
    return "scopes" in quota or "scopeSelector" in quota


def _in_order(namespace: str, quotas: Sequence[Quota], found: Mapping[str, Used]) -> Iterator[Used]:
    """Yield what was found for each quota under the name it has in a policy: only what it limits."""
    scoped = 0
    for each in quotas:
        entry = f"namespaces.{namespace}"
        if _is_scoped(each):
            entry, scoped = f"{entry}.scoped[{scoped}]", scoped + 1
        yield dict(found.get(entry, {}))


async def _refusals(asking: Asking, namespace: str, quota: Quota) -> list[str]:
    """Return the refusals of one object of each kind that the quota limits, in its scopes; none if it is allowed."""
    answers = [
        await asking.ask("POST", f"{path.format(namespace)}?dryRun=All", body=body) for path, body in _probes(quota)
    ]
    assert all(each.status in (201, 403) for each in answers), [each.text for each in answers]
    return [each.message for each in answers if each.status == 403]


def _read(message: str) -> Iterator[tuple[str, Used]]:
    """Yield what a refusal says of each entry: what is used and reserved. A dry run reserves nothing itself."""
    for match in _CLAUSE.finditer(message):
        limited = _listed(match["limited"])
        assert set(limited.values()) == {"0"}, f"another policy is in force: {message}"
        used, reserved = _listed(match["used"]), _listed(match["reserved"])
        yield (
            match["entry"],
            {
                name: quantity.canonical(_sum(used[name], reserved[name]), quantity.parse(used[name]).format)
                for name in used
            },
        )


def _listed(text: str) -> Used:
    return dict(each.split("=", 1) for each in text.split(","))


def _sum(*amounts: str) -> int:
    return sum(quantity.parse(each).nanos for each in amounts)


def _probes(quota: Quota) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an object in the quota's scopes that costs all it limits, one of each kind, with the path to create it."""
    names = list(quota["hard"])
    of_resource_claims = [name for name in names if name.endswith(_OF_RESOURCE_CLAIMS)]
    of_claims = [name for name in names if any(each in name for each in _OF_CLAIMS)]
    if of_resource_claims:
        classes = [name.partition(".deviceclass.")[0] for name in of_resource_claims if ".deviceclass." in name]
        requests = [
            {"name": f"r{position}", "exactly": {"deviceClassName": each}} for position, each in enumerate(classes)
        ]
        yield (
            "/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims",
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": "probe"},
                "spec": {"devices": {"requests": requests}},
            },
        )
    if of_claims:
        class_name = next((name.partition(".storageclass.")[0] for name in of_claims if ".storageclass." in name), "")
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1"}},
            "storageClassName": class_name,
            **_claim_in(quota),
        }
        yield (
            "/api/v1/namespaces/{}/persistentvolumeclaims",
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "probe"}, "spec": spec},
        )
    if set(names) - {*of_resource_claims, *of_claims}:
        spec = _pod_in(quota)
        yield (
            "/api/v1/namespaces/{}/pods",
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec},
        )


def _expressions(quota: Quota) -> Iterator[tuple[str, str, list[str]]]:
    for scope in quota.get("scopes", ()):
        yield scope, "Exists", []
    for each in quota.get("scopeSelector", {}).get("matchExpressions", ()):
        yield each["scopeName"], each["operator"], each.get("values", [])


def _claim_in(quota: Quota) -> dict[str, Any]:
    for _, operator, values in _expressions(quota):
        if operator in ("In", "Exists"):
            return {"volumeAttributesClassName": values[0] if values else "any"}
    return {}


def _pod_in(quota: Quota) -> dict[str, Any]:
    """Return the spec of a pod in the scopes that requests everything, or nothing if it has to be best effort."""
    extended = [name.removeprefix("requests.") for name in quota["hard"] if "/" in name and "requests." in name]
    both = {"cpu": "1m", "memory": "1", "ephemeral-storage": "1", **dict.fromkeys(extended, "1")}
    container: dict[str, Any] = {"name": "main", "image": "example/x", "resources": {"requests": both, "limits": both}}
    spec: dict[str, Any] = {"containers": [container]}
    for scope, operator, values in _expressions(quota):
        if scope == "BestEffort":
            container["resources"] = {}
        elif scope == "Terminating":
            spec["activeDeadlineSeconds"] = 60
        elif scope == "CrossNamespacePodAffinity":
            spec["affinity"] = away("other")
        elif scope == "PriorityClass" and operator in ("In", "Exists"):
            spec["priorityClassName"] = values[0] if values else "system-cluster-critical"
    return spec


def away(*namespaces: str, **more: object) -> dict[str, Any]:
    """Return an anti-affinity to pods of other namespaces."""
    term = {"topologyKey": "region", **({"namespaces": list(namespaces)} if namespaces else {}), **more}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
