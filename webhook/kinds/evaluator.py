"""
What the webhook has to know about a kind of object: the row (`Kind`) and the rules of its cost (`Evaluator`).

The protocol follows Kubernetes' own quota evaluators (`quota/v1/interfaces.go`). `registry` has the rows.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from webhook.kinds.misfits import misfit_text
from webhook.quota.delegation import Texts
from webhook.quota.durations import NO_TIMES, Times
from webhook.quota.errors import WebhookError
from webhook.quota.missing import NO_CATEGORIES, NO_FILLING, Bounds, Categories, Filling, Undeclared, of_category
from webhook.quota.node_classes import NO_CLASSES, NodeClasses
from webhook.quota.objects import ObjectKey, ObjectMeta, UserInfo
from webhook.quota.quantity import Quantity
from webhook.quota.resources import Amounts, ResourceList
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Payer


class UncountableError(WebhookError):
    """A field that decides what an object costs cannot be read. `path` names it, e.g. `spec.overhead.cpu`."""

    def __init__(self, path: str, cause: Exception) -> None:
        """Keep the path of the field and the error it causes."""
        self.path = path
        self.cause = cause
        super().__init__(f"{path}: {misfit_text(cause)}")


class Effect(enum.Enum):
    """
    What a request to an object of a kind means for the quota.

    IGNORE: it is nothing to us. STAMP: the object carries an owner and costs nothing. CHARGE: it carries an owner and
    costs something. RECORD: a request to a subresource can change what the object costs, and is never denied for it,
    because it reports what is the case already: the status of a claim. KEEP_STAMP: a request to a subresource can
    change the metadata, and adds no cost. It may lower it, as the status of a pod does; only who may report a status
    does that. CARRY_NO_STAMP: a Binding, which the API server merges into its pod. SCALE: the object is a Scale, whose
    number of replicas the API server writes into the object that it belongs to.
    """

    IGNORE = "ignore"
    STAMP = "stamp"
    CHARGE = "charge"
    RECORD = "record"
    KEEP_STAMP = "keep stamp"
    CARRY_NO_STAMP = "carry no stamp"
    SCALE = "scale"

    @property
    def is_stamped(self) -> bool:
        """Whether the mutating call writes the owner on the object."""
        return self in (Effect.STAMP, Effect.CHARGE)

    @property
    def is_charged(self) -> bool:
        """Whether the ledger decides on the request, or records it."""
        return self in (Effect.CHARGE, Effect.RECORD)


class CostLine(NamedTuple):
    """One resource that an object costs, for people: the quantity, and where it comes from."""

    quantity: Quantity
    source: str


class Authored(NamedTuple):
    """
    What the client itself has written of a new object, as far as that is known.

    `units` are the suffixes of its amounts (`Gi`), by resource. `others` are the names of containers that were added on
    the way to us; without them the object would cost its `own` amounts.
    """

    units: Mapping[str, str] = {}
    others: tuple[str, ...] = ()
    own: Amounts = ()


@dataclass(frozen=True, slots=True)
class Size:
    """
    The pods that are made for an object: what all of them cost, and whether they are made now.

    A pod of it has all labels of one of `pod_labels`. `times` are how long they may run. It `is_partial` if another
    object decides on the size, too, or if there is no pod. `names_runtime_class`: any pod does, so that `overheads`
    change the amounts. `scales` is the workload whose pods these are, if that is another object. `is_kept`: the room
    for them is held for as long as the object exists, and not only until they come.
    """

    amounts: Amounts
    is_running: bool
    pod_labels: tuple[tuple[tuple[str, str], ...], ...] = ()
    times: Times = NO_TIMES
    is_partial: bool = False
    names_runtime_class: bool = False
    scales: ObjectKey | None = None
    is_kept: bool = False


class PodDefaults(NamedTuple):
    """
    What is filled into pods when they are made: with *bounds* by LimitRanges, what is *missing* by the policy, and for
    pods of sessions by their category before that. `overheads` are those of RuntimeClasses, by name, and
    `priority_class` is that of pods that name none, empty if there is no such class. `classes` are those of the nodes
    where they may run.
    """

    bounds: Mapping[str, Bounds] = {}
    missing: Mapping[str, Quantity] = {}
    categories: Categories = NO_CATEGORIES
    overheads: Mapping[str, ResourceList] = {}
    priority_class: str = ""
    classes: NodeClasses = NO_CLASSES

    def of_category(self, name: str | None) -> PodDefaults:
        """Return what is filled into the pods of a session of this category; with None nothing by any category."""
        if name is None:
            return self
        missing = of_category(self.categories, name, self.missing)
        return self._replace(missing=missing, categories=NO_CATEGORIES)


NO_DEFAULTS = PodDefaults()


class Charged(Protocol):
    """What the struct of every kind has."""

    @property
    def metadata(self) -> ObjectMeta:
        """Name, uid, version, owner references and the stamp."""


T = TypeVar("T", bound=Charged)
T_contra = TypeVar("T_contra", bound=Charged, contravariant=True)


class Evaluator(Protocol[T_contra]):
    """The rules of one kind. Pure; any number of threads may call it."""

    unreadable: Amounts
    """The cost of an object whose fields cannot be read: it must count as something."""

    @property
    def generation(self) -> int:
        """A number that changes when objects cost something else than before, so that all have to be counted anew."""

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return what a request means; *operation* is CREATE, UPDATE, DELETE or CONNECT."""

    def usage(self, obj: T_contra, *, now: datetime | None) -> Amounts:
        """
        Return what *obj* costs at *now*; with None, what it costs before `released_at`.

        Raises: UncountableError.
        """

    def asked(self, obj: T_contra) -> Amounts | None:
        """
        Return what *obj* asks for by its spec, whatever it still holds by its status; None if it costs just that.

        Raises: UncountableError.
        """

    def scopes(self, obj: T_contra) -> Scopes:
        """Return the scopes by which a policy may select *obj*."""

    def size(self, obj: T_contra, defaults: PodDefaults = NO_DEFAULTS) -> Size | None:
        """
        Return what the pods cost that others make for *obj*, with the *defaults* that they get; None for kinds whose
        caps bind an object's own cost.

        Raises: UncountableError.
        """

    def scales(self, obj: T_contra) -> ObjectKey | None:
        """Return the workload whose number of pods *obj* decides, if room is set aside for them."""

    def payer(self, obj: T_contra) -> Payer | None:
        """Return who pays for *obj* whatever its stamp says; None if the stamp says it."""

    def may_stay(self, obj: T_contra, old: T_contra, error: UncountableError) -> bool:
        """
        Whether an update may leave *obj* as unreadable as *old* was stored, of which *error* says why.

        True only for what may have been stored before anybody could read it, if nothing that decides its cost is
        changed.
        """

    def former_cost(
        self, obj: T_contra, *, now: datetime | None, defaults: PodDefaults = NO_DEFAULTS
    ) -> tuple[Amounts, Size | None]:
        """
        Return `usage` and `size` of an object that an update replaces.

        Unlike those it does not fail for an object that was stored before anybody could read it: otherwise nobody could
        update it. Raises: UncountableError.
        """

    def user_of(self, obj: T_contra, texts: Texts) -> tuple[str, str] | None:
        """
        Return whose *obj* is by what a platform has written on it, and where that stands; None if it says nothing.

        *texts* are those of its namespace. Only of a delegate is that believed. Raises: UncountableError.
        """

    def labels(self, obj: T_contra) -> Mapping[str, str]:
        """Return the labels by which *obj* may be known as a pod of a session; none for kinds other than pods."""

    def released_at(self, obj: T_contra) -> datetime | None:
        """
        Return the moment after which *obj* costs less although no event changes it; None if there is none.

        Before and at that moment the cost is one amount, and after it another one. Raises: UncountableError.
        """

    def has_ended(self, obj: T_contra) -> bool:
        """Whether *obj* is stored but does nothing any more, such as a pod that has succeeded."""

    def counts(self, resource: str) -> bool:
        """Whether objects of this kind can cost *resource*, by its canonical name."""

    def explain(self, obj: T_contra) -> Mapping[str, CostLine]:
        """Return what *obj*, a manifest, would cost once it is stored, by resource. Raises: UncountableError."""

    def authored(self, obj: T_contra, raw: bytes) -> Authored:
        """Return what the client has written of *obj*, a new one whose JSON is *raw*. Raises: UncountableError."""

    def uncounted(self, obj: T_contra) -> frozenset[str]:
        """Return the resources that *obj* asks for and that nothing counts; what cannot be read is left out."""

    def undeclared(self, obj: T_contra) -> Undeclared:
        """
        Return which containers of *obj* do not declare a request or a limit, of those that can be `missing`.

        Raises: UncountableError.
        """

    def fill(self, obj: T_contra, defaults: Mapping[str, Quantity], bounds: Mapping[str, Bounds]) -> Filling:
        """
        Return which of the *defaults* are to be filled into *obj*, a new one that is not stored yet.

        *bounds* are by the name that a container writes (`cpu`). Raises: UncountableError.
        """

    def filled_by(self, obj: T_contra, body: bytes) -> str | None:
        """
        Return the category by which the pods of *obj*, whose JSON is *body*, are filled, empty for a session without
        one; None if it is no session, or its pods are not known.

        Raises: UncountableError.
        """

    def is_excepted(self, meta: ObjectMeta, user: UserInfo | None) -> bool:
        """
        Whether this object is neither stamped nor charged, although its kind is.

        *user* sends the request; None for an object that is stored already.
        """

    def forgery(self, meta: ObjectMeta, old: ObjectMeta | None, user: UserInfo) -> str | None:
        """
        Return what is wrong if *user* writes on an object what only a component of Kubernetes may; None if nothing is.

        *old* is the metadata before an update.
        """


class BaseEvaluator(Generic[T_contra]):
    """
    The evaluator of kinds that carry an owner for the objects made for them, and cost nothing themselves.

    Evaluators of kinds that cost something start from it.
    """

    unreadable: Amounts = ()
    generation: int = 0

    def effect(self, operation: str, subresource: str) -> Effect:
        """Return STAMP for the object, SCALE for its scale, KEEP_STAMP for what else can change its metadata."""
        if operation == "UPDATE" and subresource:
            return Effect.SCALE if subresource == "scale" else Effect.KEEP_STAMP
        return Effect.STAMP if operation in ("CREATE", "UPDATE") and not subresource else Effect.IGNORE

    def usage(self, obj: T_contra, *, now: datetime | None) -> Amounts:  # noqa: ARG002 - it costs nothing
        """Return nothing."""
        return ()

    def asked(self, obj: T_contra) -> Amounts | None:  # noqa: ARG002
        """Return None: nothing else than the spec counts."""
        return None

    def scopes(self, obj: T_contra) -> Scopes:  # noqa: ARG002
        """Return none."""
        return ()

    def size(self, obj: T_contra, defaults: PodDefaults = NO_DEFAULTS) -> Size | None:  # noqa: ARG002
        """Return None: whatever is made for it has no bound of its own."""
        return None

    def scales(self, obj: T_contra) -> ObjectKey | None:  # noqa: ARG002
        """Return None: it decides on no other object's pods."""
        return None

    def payer(self, obj: T_contra) -> Payer | None:  # noqa: ARG002
        """Return None: the stamp says it."""
        return None

    def may_stay(self, obj: T_contra, old: T_contra, error: UncountableError) -> bool:  # noqa: ARG002
        """Whether an unreadable object may be changed: no, it was read when it was created."""
        return False

    def former_cost(
        self, obj: T_contra, *, now: datetime | None, defaults: PodDefaults = NO_DEFAULTS
    ) -> tuple[Amounts, Size | None]:
        """Return what the object costs, and its pods. Raises: UncountableError."""
        size = self.size(obj, defaults)
        return self.usage(obj, now=now), size

    def user_of(self, obj: T_contra, texts: Texts) -> tuple[str, str] | None:  # noqa: ARG002
        """Return None: no platform makes such objects for people."""
        return None

    def labels(self, obj: T_contra) -> Mapping[str, str]:  # noqa: ARG002
        """Return none: it is no pod."""
        return {}

    def released_at(self, obj: T_contra) -> datetime | None:  # noqa: ARG002
        """Return None: it costs nothing."""
        return None

    def has_ended(self, obj: T_contra) -> bool:  # noqa: ARG002
        """Whether the object does nothing any more: never."""
        return False

    def counts(self, resource: str) -> bool:  # noqa: ARG002
        """Whether such objects can cost *resource*: no."""
        return False

    def explain(self, obj: T_contra) -> Mapping[str, CostLine]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def authored(self, obj: T_contra, raw: bytes) -> Authored:  # noqa: ARG002
        """Return nothing: its amounts are whole numbers."""
        return Authored()

    def uncounted(self, obj: T_contra) -> frozenset[str]:  # noqa: ARG002
        """Return nothing."""
        return frozenset()

    def undeclared(self, obj: T_contra) -> Undeclared:  # noqa: ARG002
        """Return nothing: it has no containers."""
        return {}

    def fill(
        self,
        obj: T_contra,  # noqa: ARG002
        defaults: Mapping[str, Quantity],  # noqa: ARG002
        bounds: Mapping[str, Bounds],  # noqa: ARG002
    ) -> Filling:
        """Return nothing: it has no containers."""
        return NO_FILLING

    def filled_by(self, obj: T_contra, body: bytes) -> str | None:  # noqa: ARG002
        """Return None: it is no session."""
        return None

    def is_excepted(self, meta: ObjectMeta, user: UserInfo | None) -> bool:  # noqa: ARG002
        """Whether this object is neither stamped nor charged: never."""
        return False

    def forgery(self, meta: ObjectMeta, old: ObjectMeta | None, user: UserInfo) -> str | None:  # noqa: ARG002
        """Return None: no field is reserved."""
        return None


class Demand(NamedTuple):
    """The struct to decode a workload with, and the function that returns what it asks for. May be UncountableError."""

    shape: type[Any]
    of: Callable[[Any], Amounts]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of object: its row in the registry."""

    resource: str
    """The plural with its group, e.g. `deployments.apps`."""
    api_version: str
    kind: str
    shape: type[T]
    """The struct with the fields that are decoded. Without a `LabelledMeta` its objects have no tags."""
    evaluator: Evaluator[T]
    makers: frozenset[str] = field(default=frozenset())
    """The users that make objects for an owner of this kind: components of Kubernetes."""
    is_made_by_name: bool = False
    """Whether a controller makes such objects without an owner reference, so that only their name tells for what."""
    never_denied: frozenset[str] = field(default=frozenset())
    """The users whose updates are charged and never denied: controllers that would retry for ever."""
    cap: str | None = None
    """The field of a policy that bounds one object of this kind, e.g. `perPod`."""
    demand: Demand | None = None
    """What an object asks controllers for, if they make pods for it."""
    scopes: frozenset[str] = field(default=frozenset())
    """The names of the scopes that its objects may be in."""
    scales_others: bool = False
    """Whether its objects decide how many pods other objects have: see `Evaluator.scales`."""
    operations: tuple[str, ...] = ("CREATE", "UPDATE")
    """The requests that can change an object's stamp or cost, and so have to be intercepted."""
    subresources: tuple[tuple[str, str], ...] = (("status", "UPDATE"),)
    """Those to subresources, each with its operation."""

    @property
    def plural(self) -> str:
        """Return the name in URLs and webhook rules."""
        return self.resource.partition(".")[0]

    @property
    def group(self) -> str:
        """Return the API group, empty for the core group."""
        return self.resource.partition(".")[2]

    @property
    def collection(self) -> str:
        """Return the path of all objects of the kind, in every namespace."""
        return f"{self._root}/{self.plural}"

    @property
    def is_charged(self) -> bool:
        """Whether an object of this kind can cost anything."""
        return self.evaluator.effect("CREATE", "") is Effect.CHARGE

    @property
    def count(self) -> str:
        """Return the resource by which the number of its objects is limited: `count/deployments.apps`."""
        return f"count/{self.resource}"

    @property
    def is_stamped(self) -> bool:
        """Whether an object of this kind carries its owner."""
        return self.evaluator.effect("CREATE", "").is_stamped

    @property
    def is_countable(self) -> bool:
        """Whether its objects cost nothing and can be charged by number: they are stamped."""
        return self.evaluator.effect("CREATE", "") is Effect.STAMP

    def collection_in(self, namespace: str) -> str:
        """Return the path of all objects of the kind in *namespace*, which must be safe in a URL."""
        return f"{self._root}/namespaces/{namespace}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        """Return the path of one object; both names must be safe in a URL."""
        return f"{self.collection_in(namespace)}/{name}"

    @property
    def _root(self) -> str:
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"


AnyKind = Kind[Any]
