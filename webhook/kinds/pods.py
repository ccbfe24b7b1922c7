"""Pods: the row, the evaluator over what a pod costs (`pod_cost`), and the time at which a deleted pod is released."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import structs

from webhook.kinds import pod_cost, pod_defaults, pod_filling, pod_missing, pod_shared_gpu
from webhook.kinds.evaluator import Authored, BaseEvaluator, CostLine, Effect, Kind
from webhook.kinds.pod_authored import authored
from webhook.kinds.pod_placement import scopes_of
from webhook.kinds.pod_reasons import reasons
from webhook.kinds.pod_shapes import Pod, is_terminal, shared_gpu_of
from webhook.kinds.pod_uncounted import uncounted
from webhook.kinds.pod_workload import workload_of
from webhook.kinds.session_pods import SessionPods
from webhook.quota import quantity, resources, scopes
from webhook.quota.expected import WORKLOAD
from webhook.quota.missing import Bounds, Filling, Undeclared
from webhook.quota.node_classes import NO_CLASSES, NodeClasses
from webhook.quota.objects import AnyObject, ObjectMeta, UserInfo
from webhook.quota.presets import SESSIONS, Preset
from webhook.quota.quantity import Quantity
from webhook.quota.resources import LOGICAL, Amounts
from webhook.quota.scopes import Scopes
from webhook.quota.subject import KUBE_SCHEDULER, controller

_NODES = "system:nodes"


class PodEvaluator(BaseEvaluator[Pod]):
    """Charges pods as ResourceQuota does, and what they ask for by annotations, from which `gpu` is computed."""

    unreadable: Amounts = resources.amounts(pod_cost.charge(pod_cost.PodSize((), (), {}, {}, {})))

    def __init__(self) -> None:
        """Charge pods, none of them as a session, and in whatever class of nodes they run."""
        self._sessions = SessionPods(())
        self._classes = NO_CLASSES
        self._names_workloads = False

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Return those by which pods are charged as sessions."""
        return self._sessions.presets

    def read_by(self, presets: Iterable[Preset]) -> bool:
        """Charge as sessions what *presets* of pods match from now on; return whether these are others than before."""
        sessions = SessionPods(presets)
        if self.presets == sessions.presets:
            return False
        self._sessions = sessions
        self.generation += 1
        return True

    def place_by(self, classes: NodeClasses) -> bool:
        """Tell by *classes* where pods may run from now on; return whether these are others than before."""
        if self._classes == classes:
            return False
        self._classes = classes
        self.generation += 1
        return True

    def name_workloads(self, *, is_on: bool) -> bool:
        """Tell from now on of which autoscaled workload a pod is, or no more; return whether that is new."""
        if self._names_workloads == is_on:
            return False
        self._names_workloads = is_on
        self.generation += 1
        return True

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return CHARGE for the pod and its resize; other subresources can only change its metadata."""
        if subresource == "binding":
            return _binding_effect(operation)
        if operation == "UPDATE":
            return Effect.CHARGE if subresource in ("", "resize") else Effect.KEEP_STAMP
        return Effect.CHARGE if operation == "CREATE" and not subresource else Effect.IGNORE

    def usage(self, obj: Pod, *, now: datetime | None) -> Amounts:
        """
        Return the amounts of `pod_cost.amounts_of`, and a place in `sessions` for one that is a session; `count/pods`
        alone for a released pod.

        A pod is released once *now* is after `released_at`: when its node died it may never be gone, and its owner
        needs the room for a replacement. With None it costs everything until it is terminal or gone.
        Raises: UncountableError. Source: `QuotaV1Pod` of Kubernetes 1.37.2.
        """
        released_at = None if now is None else self.released_at(obj)
        is_released = now is not None and released_at is not None and now > released_at
        amounts = pod_cost.amounts_of(obj, is_released=is_released)
        if is_released or obj.metadata not in self._sessions or self.has_ended(obj):
            return amounts
        return tuple(sorted((*amounts, (SESSIONS, quantity.NANOS))))

    def asked(self, obj: Pod) -> Amounts:
        """Return what it would cost if nothing were allocated yet: a resize asks for less before less is held."""
        return self.usage(structs.replace(obj, status=None), now=None)

    def scopes(self, obj: Pod) -> Scopes:
        """
        Return the scopes of ResourceQuota that the pod is in, and those of the classes of nodes where it may run.

        The API server sets the QoS class when a pod is created.

        Source: `podMatchesScopeFunc` of Kubernetes 1.37.2.
        """
        spec, deadline = obj.spec, obj.spec.active_deadline_seconds
        is_best_effort = obj.status is not None and obj.status.qos_class == "BestEffort"
        leaves = spec.affinity is not None and spec.affinity.leaves_namespace
        found = (
            scopes.BEST_EFFORT if is_best_effort else scopes.NOT_BEST_EFFORT,
            *((scopes.CROSS_NAMESPACE,) if leaves else ()),
            *scopes.valued(scopes.PRIORITY_CLASS, filter(None, (spec.priority_class_name,))),
            scopes.TERMINATING if deadline is not None and deadline >= 0 else scopes.NOT_TERMINATING,
        )
        return tuple(sorted((*found, *scopes_of(obj, self._classes)))) if self._classes else found

    def labels(self, obj: Pod) -> Mapping[str, str]:
        """Return the labels of the pod, and `WORKLOAD` for one of a workload that may be autoscaled."""
        labels = obj.metadata.labelled()
        workload = workload_of(obj.metadata.controller, labels) if self._names_workloads else None
        return labels if workload is None else {**labels, WORKLOAD: workload}

    def released_at(self, obj: Pod) -> datetime | None:
        """
        Return when the grace period of a deletion ends, by the clock of the API server that accepted the deletion.

        The API server has added the grace period to `deletionTimestamp` already, and ResourceQuota adds it once more.
        Replicas whose clocks differ disagree on a pod for as long as the difference. The sum is exact: in Go a grace
        period above 292 years overflows, so that ResourceQuota may release the pod at once; here it stays charged.
        None: the pod is not being deleted, has no grace period, is terminal, or the moment is after the year 9999.
        Raises: UncountableError.
        """
        if not obj.metadata.is_being_deleted:
            return None
        marked, grace = obj.metadata.deletion()
        if marked is None or grace is None or self.has_ended(obj):
            return None
        try:
            return marked + timedelta(seconds=grace)
        except OverflowError:
            return None

    def has_ended(self, obj: Pod) -> bool:
        """Whether the pod is in a terminal phase."""
        return is_terminal(obj)

    def counts(self, resource: str) -> bool:
        """Whether pods can cost *resource*."""
        if resource.startswith("requests."):
            return resources.is_charged(resource.removeprefix("requests."))
        if resource == SESSIONS:
            return bool(self.presets)
        return resource.startswith("limits.") or resource in {"pods", "count/pods"} | LOGICAL

    def explain(self, obj: Pod) -> Mapping[str, CostLine]:
        """
        Return what the pod would cost with the API server's defaults, what annotations ask for among it.

        Raises: UncountableError.
        """
        size = pod_defaults.with_defaults(pod_cost.size_of(obj))
        charged = {name: amount for name, amount in pod_cost.charge(size).items() if amount.nanos}
        sources = reasons(obj, size, charged)
        lines = {name: CostLine(amount, sources[name]) for name, amount in charged.items()}
        shared_gpu = shared_gpu_of(obj.metadata)
        if shared_gpu is not None and not is_terminal(obj):
            asked = pod_shared_gpu.amounts(shared_gpu)
            lines.update({name: CostLine(Quantity(amount), "an annotation") for name, amount in asked})
        return lines

    def authored(self, obj: Pod, raw: bytes) -> Authored:
        """Return the units of its requests and limits, and the containers that were added. Raises: UncountableError."""
        return authored(obj, raw, cost=lambda pod: self.usage(pod, now=None))

    def uncounted(self, obj: Pod) -> frozenset[str]:
        """Return the resources that the pod asks for and that no row counts."""
        return uncounted(obj)

    def undeclared(self, obj: Pod) -> Undeclared:
        """Return what the containers of the pod do not declare. Raises: UncountableError."""
        return pod_missing.undeclared(obj)

    def fill(self, obj: Pod, defaults: Mapping[str, Quantity], bounds: Mapping[str, Bounds]) -> Filling:
        """Return what is filled into its containers and init containers. Raises: UncountableError."""
        return pod_filling.fill(obj, defaults, bounds)

    def filled_by(self, obj: Pod, body: bytes) -> str | None:
        """Return the category of a pod that is a session itself. Raises: UncountableError."""
        return self._sessions.category(obj.metadata, body)

    def forgery(self, meta: ObjectMeta, old: ObjectMeta | None, user: UserInfo) -> str | None:  # noqa: ARG002
        """Return what is wrong if annotations ask for less of a GPU than before: a pod that runs keeps what it has."""
        before, after = (shared_gpu_of(each) if each is not None else None for each in (old, meta))
        asked = dict(pod_shared_gpu.amounts(after)) if after is not None else {}
        is_less = before is not None and any(asked.get(name, 0) < most for name, most in pod_shared_gpu.amounts(before))
        return "the part of a GPU that a pod asks for by annotations cannot be made smaller" if is_less else None

    def is_excepted(self, meta: ObjectMeta, user: UserInfo | None) -> bool:
        """
        Whether this is a mirror pod: the object a kubelet creates for a static pod, which no refusal would stop.

        Anybody can write the annotation, so a new pod is a mirror pod only if a node sends it. A stored one has no
        stamp, because no person created it; an imitation was stamped when a person created it.
        """
        annotations = meta.annotations
        if annotations is None or annotations.mirror is None:
            return False
        return annotations.owner is None if user is None else _NODES in (user.groups or ())


class _BindingEvaluator(BaseEvaluator[AnyObject]):
    """The evaluator of `bindings`, the old path of `pods/binding`. The API server merges its annotations into a pod."""

    def effect(self, operation: str, subresource: str) -> Effect:  # noqa: ARG002 - it has no subresource
        return _binding_effect(operation)


def _binding_effect(operation: str) -> Effect:
    """Return CARRY_NO_STAMP except for DELETE. The API server only creates them; other calls are checked as well."""
    return Effect.IGNORE if operation == "DELETE" else Effect.CARRY_NO_STAMP


PODS = Kind(
    "pods",
    "v1",
    "Pod",
    Pod,
    PodEvaluator(),
    # Their claims: for generic ephemeral volumes, from claim templates, and for extended resources.
    makers=frozenset(
        {controller("ephemeral-volume-controller"), controller("resource-claim-controller"), KUBE_SCHEDULER}
    ),
    cap="perPod",
    scopes=frozenset({*scopes.WITHOUT_VALUES, scopes.PRIORITY_CLASS, scopes.NODE_CLASS, scopes.ZONE}),
    subresources=(("status", "UPDATE"), ("resize", "UPDATE"), ("ephemeralcontainers", "UPDATE"), ("binding", "CREATE")),
)
BINDINGS = Kind("bindings", "v1", "Binding", AnyObject, _BindingEvaluator(), operations=("CREATE",), subresources=())
