"""Pods: the row, and the evaluator over what a pod costs (`pod_cost`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from webhook.kinds import pod_cost, pod_defaults
from webhook.kinds.evaluator import CostLine, Effect, Kind, Uncharged
from webhook.kinds.pod_reasons import reasons
from webhook.kinds.pod_shapes import Pod, is_terminal
from webhook.quota import resources
from webhook.quota.objects import AnyObject, ObjectMeta, UserInfo
from webhook.quota.resources import GPU, Amounts

_NODES = "system:nodes"


class PodEvaluator:
    """Charges pods as ResourceQuota does, and `gpu` beside."""

    unreadable: Amounts = resources.amounts(pod_cost.charge(pod_cost.PodSize((), (), {}, {}, {})))

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return CHARGE for the pod and its resize; other subresources can only change its metadata."""
        if subresource == "binding":
            return _binding_effect(operation)
        if operation == "UPDATE":
            return Effect.CHARGE if subresource in ("", "resize") else Effect.KEEP_STAMP
        return Effect.CHARGE if operation == "CREATE" and not subresource else Effect.IGNORE

    def usage(self, obj: Pod, *, now: datetime | None) -> Amounts:
        """
        Return the amounts of `pod_cost.charge`, with the logical resources.

        A pod that is being deleted costs what a terminal one costs once *now* is after `released_at`: when its node
        died it is never gone, and its owner needs the room for its replacement.
        Raises: UncountableError. Source: `QuotaV1Pod` of Kubernetes 1.37.2.
        """
        if now is None or not obj.metadata.is_being_deleted:
            return pod_cost.amounts_of(obj)
        released_at = self.released_at(obj)
        return pod_cost.amounts_of(obj, is_released=released_at is not None and now > released_at)

    def released_at(self, obj: Pod) -> datetime | None:
        """
        Return when the grace period of a deletion ends; None for a pod that is not being deleted, or has no such end.

        By the clock of the API server that marked the pod: replicas whose clocks differ may disagree for so long.
        Raises: UncountableError.
        """
        if not obj.metadata.is_being_deleted:
            return None
        marked, grace = obj.metadata.deletion()
        if marked is None or grace is None:
            return None
        try:
            return marked + timedelta(seconds=grace)
        except OverflowError:  # a grace period of millennia
            return None

    def has_ended(self, obj: Pod) -> bool:
        """Whether the pod is in a terminal phase."""
        return is_terminal(obj)

    def counts(self, resource: str) -> bool:
        """Whether pods can cost *resource*."""
        if resource.startswith("requests."):
            return resources.is_charged(resource.removeprefix("requests."))
        return resource.startswith("limits.") or resource in {"pods", "count/pods", GPU}

    def explain(self, obj: Pod) -> Mapping[str, CostLine]:
        """Return what the pod would cost with the API server's defaults. Raises: UncountableError."""
        size = pod_defaults.with_defaults(pod_cost.size_of(obj))
        charged = {name: amount for name, amount in pod_cost.charge(size).items() if amount.nanos}
        told = reasons(obj, size, charged)
        return {name: CostLine(amount, told[name]) for name, amount in charged.items()}

    def is_excepted(self, meta: ObjectMeta, user: UserInfo | None) -> bool:
        """
        Whether this is a mirror pod: a kubelet shows one of its static pods, and refusing would not stop it.

        Anybody can write the annotation, so a new pod is believed only from a node. A stored one has no stamp, because
        no person made it; a person's imitation was stamped when it was created.
        """
        annotations = meta.annotations
        if annotations is None or annotations.mirror is None:
            return False
        return annotations.owner is None if user is None else _NODES in (user.groups or ())


class _BindingEvaluator(Uncharged[AnyObject]):
    """The old address of `pods/binding`: the API server merges a Binding's annotations into the pod."""

    def effect(self, operation: str, subresource: str) -> Effect:  # noqa: ARG002 - it has no subresource
        return _binding_effect(operation)


def _binding_effect(operation: str) -> Effect:
    """The API server only ever creates one; what else a call may say of it is read as strictly."""
    return Effect.IGNORE if operation == "DELETE" else Effect.CARRY_NO_STAMP


PODS = Kind(
    "pods",
    "v1",
    "Pod",
    Pod,
    PodEvaluator(),
    cap="perPod",
    subresources=(("status", "UPDATE"), ("resize", "UPDATE"), ("ephemeralcontainers", "UPDATE"), ("binding", "CREATE")),
)
BINDINGS = Kind("bindings", "v1", "Binding", AnyObject, _BindingEvaluator(), operations=("CREATE",), subresources=())
