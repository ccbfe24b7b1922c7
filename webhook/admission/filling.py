"""
What new pods get that they do not declare: by the category of their session, by `missing`, by LimitRanges and
RuntimeClasses.

What is filled into which container is decided in `kinds`; `patch` writes it into the object.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from webhook.admission.charge import Reviewed
from webhook.admission.review import AdmissionRequest
from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, PodDefaults, UncountableError
from webhook.kinds.pod_shapes import PodSpec
from webhook.kinds.registry import Registry
from webhook.kinds.session_kind import SessionObject
from webhook.ports import Ancestry, LimitRanges, PodClasses
from webhook.quota.missing import NO_FILLING, Filling
from webhook.quota.objects import AnyObject
from webhook.quota.policy import Policy
from webhook.quota.presets import PER_SESSION
from webhook.quota.resources import ResourceList


@dataclass(frozen=True, slots=True)
class PodFilling:
    """Fills new pods, and tells how those of a session will be filled. Any number of calls may run concurrently."""

    limit_ranges: LimitRanges
    classes: PodClasses
    ancestry: Ancestry
    kinds: Registry

    async def of_new(self, request: AdmissionRequest, reviewed: Reviewed, policy: Policy) -> Filling:
        """
        Return what is filled into a new object. The session of a pod, and LimitRanges, are read only if anything is.

        Raises: UnavailableError.
        """
        fill = reviewed.kind.evaluator.fill
        try:
            if not fill(reviewed.new, policy.most_defaults, {}).parts:
                return NO_FILLING
            category = await self._category(request, reviewed, policy) if policy.categories else None
            defaults = PodDefaults({}, policy.missing_defaults, policy.categories).of_category(category).missing
            if not fill(reviewed.new, defaults, {}).parts:
                return NO_FILLING
            return fill(reviewed.new, defaults, await self.limit_ranges.bounds(request.namespace))
        except UncountableError:  # the validating call says why such an object cannot be charged
            return NO_FILLING

    async def of_session(self, namespace: str, reviewed: Reviewed, policy: Policy) -> PodDefaults:
        """
        Return what the pods of an object get if it is a session. RuntimeClasses are read only if one of its pods has
        one.

        Raises: UnavailableError.
        """
        kind = reviewed.kind
        if kind.cap != PER_SESSION:
            return NO_DEFAULTS
        bounds = await self.limit_ranges.bounds(namespace)
        defaults = PodDefaults(bounds, policy.missing_defaults, policy.categories, classes=policy.node_classes)
        try:
            size = kind.evaluator.size(reviewed.new, defaults)
        except UncountableError:  # `charge_for` says why
            return defaults
        if size is None or not size.names_runtime_class:
            return defaults
        return defaults._replace(overheads=await self.classes.overheads())

    async def _category(self, request: AdmissionRequest, reviewed: Reviewed, policy: Policy) -> str | None:
        """
        Return the category by which a new pod is filled: its own if it is a session, or that of the session whose pod
        it is by its labels, as it is stored now. None for any other, and where the category cannot be read.
        """
        own = _filled_by(reviewed.kind, reviewed.new, bytes(request.object))
        if own is not None:
            return own
        labels = reviewed.kind.evaluator.labels(reviewed.new)
        for preset in policy.presets:
            name, kind = preset.session_of(labels), self.kinds.of_resource(preset.resource)
            if not name or kind is None or kind.cap != PER_SESSION:
                continue
            session = await self.ancestry.read_whole(kind, request.namespace, name, SessionObject)
            category = None if session is None else _filled_by(kind, session, b"")
            if category is not None:
                return category
        return None


async def filled_by_plugins(
    limit_ranges: LimitRanges, classes: PodClasses, namespace: str, specs: Collection[PodSpec], policy: Policy
) -> PodDefaults:
    """
    Return what admission plugins of the API server fill into pods of *specs* in *namespace*. Of the classes only those
    are read that matter under *policy*.

    Raises: UnavailableError.
    """
    bounds = await limit_ranges.bounds(namespace)
    overheads: Mapping[str, ResourceList] = {}
    if any(each.runtime_class_name for each in specs):
        overheads = await classes.overheads()
    priority_class = ""
    if policy.selects_priority_classes and not all(each.priority_class_name for each in specs):
        priority_class = await classes.default_priority_class()
    return PodDefaults(bounds, overheads=overheads, priority_class=priority_class, classes=policy.node_classes)


def _filled_by(kind: AnyKind, obj: AnyObject | SessionObject, body: bytes) -> str | None:
    try:
        return kind.evaluator.filled_by(obj, body)
    except UncountableError:
        return None
