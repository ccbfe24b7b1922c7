"""
The kinds that a policy makes of those that are known, and of objects in files, where no API server says what it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from webhook.documents.object_text import RawObject
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionEvaluator, makers_of, session_kind
from webhook.quota.policy import Policy, SessionCount
from webhook.quota.presets import Preset


def kinds_under(policy: Policy) -> Registry:
    """Return the kinds that *policy* makes of those with a row, and of those that its presets name."""
    kinds = rows_under(policy)
    kinds.count(policy.counted)
    for resource, listed in presets_of_others(policy).items():
        first = listed[0]
        kind = counted(resource, f"{first.group}/{first.versions[0]}" if first.group else first.versions[0], first.kind)
        kinds.add(read_as_sessions(kind, listed, policy, kinds))
    return kinds


def rows_under(policy: Policy) -> Registry:
    """Return the kinds with a row; pods are read by the presets and the classes of nodes of *policy*."""
    kinds, pods = Registry(*KINDS), PodEvaluator()
    pods.read_by(each for each in policy.presets if each.resource == PODS.resource)
    pods.place_by(policy.node_classes)
    kinds.add(replace(PODS, evaluator=pods))
    return kinds


def presets_of_others(policy: Policy) -> Mapping[str, Sequence[Preset]]:
    """Return the presets of *policy* for kinds without a row, by resource."""
    presets: dict[str, list[Preset]] = {}
    for each in policy.presets:
        if KINDS.of_resource(each.resource) is None:
            presets.setdefault(each.resource, []).append(each)
    return presets


def read_as_sessions(kind: AnyKind, presets: Sequence[Preset], policy: Policy, kinds: Registry) -> AnyKind:
    """Return *kind* with its objects read by *presets*; *kinds* tell which of them are part of other sessions."""
    frees_stopped = policy.session_count is SessionCount.RUNNING
    evaluator = SessionEvaluator(kind.count, presets, frees_stopped=frees_stopped, is_session=kinds.is_session)
    return session_kind(kind, evaluator, makers_of(presets))


def kind_in_file(written: RawObject, kinds: Registry, policy: Policy) -> AnyKind | None:
    """Return the kind of an object; None for one without a row of which *policy* does not limit the number."""
    kind = kinds.of_object(written.api_version, written.kind)
    if kind is not None:
        return kind
    if written.resource not in policy.counted:
        return None
    found = counted(written.resource, written.api_version, written.kind)
    kinds.add(found)
    return found
