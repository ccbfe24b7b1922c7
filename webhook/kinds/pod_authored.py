"""
What a client itself has written of a new pod, and what others have added to it on the way: for messages only.

The API server notes in `managedFields` which fields a request has, before it calls the first webhook. What a webhook or
an admission policy adds afterwards is not noted. A client may send a note of its own, and misleads nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec import Raw, Struct, structs

from webhook.kinds import pod_cost
from webhook.kinds.evaluator import Authored
from webhook.kinds.pod_shapes import Container, Pod
from webhook.kinds.resource_lists import decoded, unit_of
from webhook.quota.objects import Shape
from webhook.quota.resources import COMPUTE, Amounts, is_charged


class _SpecFields(Struct, frozen=True, rename={"containers": "f:containers", "init_containers": "f:initContainers"}):
    """The fields of the spec that were sent. A container is `k:{"name":"main"}`."""

    containers: dict[str, Raw] = {}
    init_containers: dict[str, Raw] = {}


class _Fields(Struct, frozen=True, rename={"spec": "f:spec"}):
    spec: _SpecFields = _SpecFields()


class _Sent(Shape, frozen=True):
    fields_v1: _Fields | None = None


class _Metadata(Shape, frozen=True):
    managed_fields: list[_Sent] | None = None


class _Noted(Shape, frozen=True):
    metadata: _Metadata = _Metadata()


class _Name(Shape, frozen=True):
    name: str


def authored(pod: Pod, raw: bytes, *, cost: Callable[[Pod], Amounts]) -> Authored:
    """
    Return what the client has written of the new *pod*, whose JSON is *raw*; *cost* returns what a pod costs.

    Raises: UncountableError.
    """
    sent = frozenset(_sent_containers(raw))
    containers = (*(pod.spec.containers or ()), *(pod.spec.init_containers or ()))
    others = tuple(each.name for each in containers if sent and each.name not in sent)
    if not others:
        return Authored(dict(_units(containers)))
    of_client = [
        [each for each in listed or () if each.name in sent]
        for listed in (pod.spec.containers, pod.spec.init_containers)
    ]
    spec = structs.replace(pod.spec, containers=of_client[0], init_containers=of_client[1])
    own = cost(structs.replace(pod, spec=spec))
    return Authored(dict(_units([*of_client[0], *of_client[1]])), others, own)


def _sent_containers(raw: bytes) -> Iterator[str]:
    """Yield the names of the containers that the request had, if that is noted."""
    try:
        managers = msgspec.json.decode(raw, type=_Noted).metadata.managed_fields or ()
        for each in managers:
            spec = each.fields_v1.spec if each.fields_v1 is not None else _SpecFields()
            for key in (*spec.containers, *spec.init_containers):
                if key.startswith("k:"):
                    yield msgspec.json.decode(key[2:], type=_Name).name
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return


def _units(containers: Iterable[Container]) -> Iterator[tuple[str, str]]:
    """Yield the unit of each request and limit. Of several containers the first one counts, which is yielded last."""
    for container in reversed(tuple(containers)):
        asked = decoded(pod_cost.REQUIREMENTS, bytes(container.resources), f"resources of container {container.name}")
        if asked is None:
            continue
        requests = ((f"requests.{name}", text) for name, text in (asked.requests or {}).items() if is_charged(name))
        limits = ((f"limits.{name}", text) for name, text in (asked.limits or {}).items() if name in COMPUTE)
        for name, text in (*requests, *limits):
            if unit := unit_of(bytes(text)):
                yield name, unit
