"""
The requests of the workload, one function each: for pods, PersistentVolumeClaims, ResourceClaims and sessions.

Which of them are sent, and when: see `workload`, and `platform` for the pods of sessions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from nemesis.accounting import CLASSES, DEVICE_CLASSES, GPU, SESSION, STORAGE, place_of
from nemesis.clients import MERGE, PLAIN_MERGE, Wish
from nemesis.ledger_text import NOWHERE, Place
from nemesis.promising import WHOLE, ZONED, ZONES
from nemesis.records import (
    CLAIMS,
    CLASS_LABEL,
    DEVICE_CLAIMS,
    DRY,
    DRY_CPU,
    MIB,
    PODS,
    REPORTED,
    SESSION_LABEL,
    SESSION_TYPE,
    SESSIONS,
    STOPPED,
    ZONE_LABEL,
    ClaimRevision,
    PodRevision,
    Revision,
    SessionRevision,
)

ADMIN = "admin"
"""Stands for the kubelets and controllers, which alone may report what an object was allocated, or that it is over."""

CONTROLLER = "system:serviceaccount:kubeflow:notebook-controller-service-account"
"""The account of the platform that makes the pods of sessions, as the preset has it."""

FINISHED = "Succeeded"
GPUS: Mapping[str, str] = {"nvidia.com/gpu": "1", "nvidia.com/mig-3g.20gb": "3/7"}
"""The devices that pods ask for, one each, and what it counts as `gpu`."""


# Pods.


def create_pod(
    user: str, namespace: str, name: str, *, cpu: str, device: str = "", number: int = 1, place: Place = NOWHERE
) -> Wish:
    """Return the request that creates a pod for *place*; without a name it gets a generated one."""
    devices = {device: str(number)} if device else {}
    resources = {"requests": {"cpu": cpu, **devices}, "limits": devices}
    spec = {**_pod_spec(resources), "nodeSelector": _selector(place)}
    asked = {"pods": "1", "requests.cpu": cpu}
    if device:
        asked[GPU] = str(number) if GPUS[device] == "1" else GPUS[device]
    return replace(_create(PODS, user, namespace, name, spec=spec, asked=asked), cpu=cpu, place=_told(place))


def _selector(place: Place) -> dict[str, str]:
    return {label: value for label, value in ((CLASS_LABEL, place.node_class), (ZONE_LABEL, place.zone)) if value}


def _told(place: Place) -> str:
    return "/".join(filter(None, place))


def _pod_spec(resources: Mapping[str, object]) -> dict[str, object]:
    return {"containers": [{"name": "main", "image": "example/x", "resources": resources}]}


def resize(pod: PodRevision, cpu: str) -> Wish:
    changed = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}}
    wish = _patch("resize", pod.owner, pod, "/resize", changed)
    return replace(wish, cpu=cpu, asked={"requests.cpu": cpu}, place=_told(place_of(pod)))


def dry_resize(pod: PodRevision) -> Wish:
    return as_dry_run(resize(pod, DRY_CPU))


def run(pod: PodRevision) -> Wish:
    """Report as a kubelet does that the pod has what its spec requests, if it is still the one we know."""
    given = pod.containers["main"].requests
    state = {"name": "main", "image": "example/x", "imageID": "", "ready": True, "restartCount": 0}
    has = {**state, "allocatedResources": given, "resources": {"requests": given}}
    status = {"phase": "Running", "containerStatuses": [has]}
    known = {"resourceVersion": str(pod.version)}
    return _patch("status", ADMIN, pod, "/status", {"metadata": known, "status": status})


def finish(pod: PodRevision) -> Wish:
    return _patch("status", ADMIN, pod, "/status", {"status": {"phase": FINISHED}})


# PersistentVolumeClaims. No controller runs: the admin binds them, reports expansions, and takes their finalizer off.


def create_claim(user: str, namespace: str, name: str, *, storage: int, storage_class: str) -> Wish:
    """Return the request that creates a claim of so many bytes."""
    asks = {"requests": {"storage": str(storage)}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": asks}
    return _create(CLAIMS, user, namespace, name, spec=spec, asked=_claim_costs(storage, storage_class))


def change_storage(verb: str, claim: ClaimRevision, storage: int) -> Wish:
    """Return the request for more or less storage; the API server accepts it for a bound claim."""
    changed = {"spec": {"resources": {"requests": {"storage": str(storage)}}}}
    wish = _patch(verb, claim.owner, claim, "", changed)
    return replace(wish, asked=_claim_costs(storage, claim.storage_class))


def dry_grow(claim: ClaimRevision, storage: int) -> Wish:
    return as_dry_run(change_storage("grow", claim, storage + DRY))


def bind(claim: ClaimRevision) -> Wish:
    status = {"phase": "Bound", "capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"]}
    return _patch("status", ADMIN, claim, "/status", {"status": status})


def report_expansion(claim: ClaimRevision, storage: int | None) -> Wish:
    """Report that storage is set aside for an expansion, or with None that it is no longer."""
    allocated = None if storage is None else {"storage": str(storage + REPORTED)}
    return _patch("status", ADMIN, claim, "/status", {"status": {"allocatedResources": allocated}})


def unprotect(claim: Revision) -> Wish:
    """Take off the finalizer that the API server puts on every claim, so that a deleted one goes."""
    return _patch("unprotect", ADMIN, claim, "", {"metadata": {"finalizers": None}})


def _claim_costs(storage: int, storage_class: str) -> dict[str, str]:
    costs = {CLAIMS: "1", STORAGE: str(storage)}
    return costs | {f"{storage_class}.storageclass.storage.k8s.io/{name}": each for name, each in costs.items()}


# ResourceClaims. Their spec never changes.


def create_device_claim(user: str, namespace: str, name: str, *, devices: Mapping[str, int]) -> Wish:
    """Return the request that creates a claim of so many devices of each class."""
    requests = [
        {"name": f"r{number}", "exactly": {"deviceClassName": each, "allocationMode": "ExactCount", "count": count}}
        for number, (each, count) in enumerate(devices.items())
    ]
    asked = {f"{each}.deviceclass.resource.k8s.io/devices": str(count) for each, count in devices.items()}
    asked[GPU] = str(devices.get(DEVICE_CLASSES[0], 0))
    return _create(DEVICE_CLAIMS, user, namespace, name, spec={"devices": {"requests": requests}}, asked=asked)


# Sessions. The platform's controller makes the pods.


def create_session(user: str, namespace: str, name: str, *, cpu: str, is_stopped: bool = False) -> Wish:
    """Return the request that creates a session whose pod asks for *cpu*."""
    wish = _create(SESSIONS, user, namespace, name, spec=_session_spec(cpu), asked=_session_needs(cpu))
    if is_stopped:
        body = json.loads(wish.body)
        body["metadata"]["annotations"] = {STOPPED: "yes"}
        return replace(wish, body=json.dumps(body), asked={SESSION: "0"})
    return wish


def start(session: SessionRevision) -> Wish:
    changed = {"metadata": {"annotations": {STOPPED: None}}}
    return replace(_patch("start", session.owner, session, "", changed), asked=_session_needs(session.cpu))


def stop(session: SessionRevision) -> Wish:
    changed = {"metadata": {"annotations": {STOPPED: "yes"}}}
    return _patch("stop", session.owner, session, "", changed)


def change_session(session: SessionRevision, cpu: str) -> Wish:
    wish = _patch("change", session.owner, session, "", {"spec": _session_spec(cpu)})
    return replace(wish, asked=_session_needs(cpu))


def dry_change_session(session: SessionRevision) -> Wish:
    return as_dry_run(change_session(session, DRY_CPU))


def make_pod(session: SessionRevision) -> Wish:
    """Return the request by which the platform's controller creates the pod of a session."""
    wish = create_pod(ADMIN, session.namespace, f"{session.name}-0", cpu=session.cpu)
    owner = {**SESSION_TYPE, "name": session.name, "uid": session.uid, "controller": True}
    body = json.loads(wish.body)
    body["metadata"] |= {"labels": {SESSION_LABEL: session.name}, "ownerReferences": [owner]}
    return replace(wish, body=json.dumps(body), acts_as=CONTROLLER, session=session.name)


def unmake_pod(pod: PodRevision) -> Wish:
    return replace(delete(pod), user=ADMIN, acts_as=CONTROLLER)


def _session_spec(cpu: str) -> dict[str, object]:
    return {"template": {"spec": _pod_spec({"requests": {"cpu": cpu}})}}


def _session_needs(cpu: str) -> dict[str, str]:
    return {SESSION: "1", "pods": "1", "requests.cpu": cpu}


# All kinds.


def delete(obj: Revision) -> Wish:
    slot = obj.slot
    path = f"/{slot.name}?gracePeriodSeconds=0"
    return Wish("delete", obj.owner, slot.namespace, slot.name, "DELETE", path, kind=slot.kind)


def label(obj: Revision, number: int) -> Wish:
    return _patch("label", obj.owner, obj, "", {"metadata": {"labels": {"seen": str(number)}}})


def stale_update(obj: Revision, number: int) -> Wish:
    """Return a patch that succeeds only for the version we know, which may be old by now."""
    changed = {"metadata": {"resourceVersion": str(obj.version), "labels": {"seen": str(number)}}}
    return _patch("update", obj.owner, obj, "", changed)


def as_dry_run(wish: Wish) -> Wish:
    return replace(wish, path=f"{wish.path}?dryRun=All", is_dry_run=True)


def too_much(user: str, namespace: str, name: str) -> list[Wish]:
    """Return dry-runs that exceed every limit on sums: the refusals name what a replica counts."""
    several = (
        create_pod(user, namespace, name, cpu="1k", device="nvidia.com/gpu", number=1000),
        *(
            create_pod(user, namespace, name, cpu="1k", device="nvidia.com/gpu", number=1000, place=place)
            for place in (*(Place(ZONED, zone) for zone in ZONES), Place(WHOLE))
        ),
        create_claim(user, namespace, name, storage=100 * 2**10 * MIB, storage_class=CLASSES[0]),
        create_device_claim(user, namespace, name, devices=dict.fromkeys(DEVICE_CLASSES, 1000)),
        create_session(user, namespace, name, cpu="1k"),
    )
    return [as_dry_run(each) for each in several]


def _create(
    kind: str, user: str, namespace: str, name: str, *, spec: Mapping[str, object], asked: Mapping[str, str]
) -> Wish:
    named = {"name": name} if name else {"generateName": f"{user}-any-"}
    typed = SESSION_TYPE if kind == SESSIONS else {}
    body = json.dumps({**typed, "metadata": named, "spec": spec})
    return Wish("create", user, namespace, name, "POST", "", body, kind=kind, asked=asked)


def _patch(verb: str, user: str, obj: Revision, subresource: str, changed: object) -> Wish:
    slot = obj.slot
    path = f"/{slot.name}{subresource}"
    merge = PLAIN_MERGE if slot.kind == SESSIONS else MERGE
    return Wish(verb, user, slot.namespace, slot.name, "PATCH", path, json.dumps(changed), merge, kind=slot.kind)
