"""
Find the payer of an object from the effective user and the chain of owners, never from annotations of the user.

docs/attribution.md describes the rules. `stamp` writes the payer on the object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webhook.attribution import claim_templates
from webhook.attribution.stamp import has_stamp, read_stamp, stamp_for
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, HandoverRights, Namespaces, PolicySource
from webhook.quota.delegation import Texts, first_named, is_person
from webhook.quota.objects import OWNER_ANNOTATION, ObjectMeta, OwnerReference, Shape, UserInfo
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, Payer

_MAX_CHAIN = 8
"""Owners read per object. CronJob, Job, Pod is a chain of three; one longer than this is a loop or made on purpose."""

_STAYS = "stamped when it was created"
_TAKEN_OVER = "took it over"
HANDOVER_MANAGER = "userquota-adopt"
"""
The field manager of a request that means to change who pays. Of an exported manifest or a rollback, which bring another
owner's name as well, no client says so.
"""

_AUTHENTICATED = "system:authenticated"
_MASTERS = "system:masters"
_NODE_PREFIX = "system:node:"
_COMPONENT_PREFIX = "system:kube-"
_KUBE_SYSTEM_PREFIX = f"{SERVICE_ACCOUNT_PREFIX}kube-system:"

KUBE_CONTROLLER_MANAGER = "system:kube-controller-manager"
"""The user of all controllers if kube-controller-manager runs without `--use-service-account-credentials`."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """
    The payer, and a short text on how it was found.

    `stamp` is the stamp that the object must carry: None for an unstamped object, which an update does not stamp.
    `left_out` counts the payer's groups left out of the stamp for its size; the policy names none of them.
    """

    payer: Payer
    found_by: str
    stamp: Payer | None
    left_out: int = 0

    def accepts(self, meta: ObjectMeta) -> bool:
        """
        Whether an object carries the right stamp.

        If groups were left out, a policy replaced a moment ago may have named other groups. Then the stamp must contain
        every group that the policy names now, and only groups of the payer.
        """
        if has_stamp(meta, self.stamp):
            return True
        carried = read_stamp(meta)
        if not self.left_out or self.stamp is None or carried is None or carried.owner != self.payer.owner:
            return False
        return set(self.stamp.groups) <= set(carried.groups) <= set(self.payer.groups)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request would forge or break the attribution. `message` gives the reason."""

    message: str


@dataclass(frozen=True, slots=True)
class _Missing:
    """A controller reference to an object that does not exist."""

    reference: OwnerReference


@dataclass(frozen=True, slots=True)
class Change:
    """
    An object before and after a request, the *subresource* that it is for, if any, and the client's *field_manager*.

    *grows* returns whether the object asks for more than before. It is called only where that decides.
    """

    old: ObjectMeta
    new: ObjectMeta
    subresource: str = ""
    field_manager: str = ""
    grows: Callable[[], bool] = lambda: False


class Written(Shape, frozen=True):
    """All labels and annotations of an object: a delegate may name who pays in any of them."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Attribution:
    """Finds the payer. Owners are read live, by name and uid: a cached one could be of an earlier object."""

    def __init__(
        self,
        ancestry: Ancestry,
        namespaces: Namespaces,
        policies: PolicySource,
        *,
        rights: HandoverRights,
        kinds: Registry,
    ) -> None:
        """
        Read owners of *kinds* that have makers, from *ancestry*, and the marks of *namespaces*.

        *policies* name further trusted controllers, delegates and marks; *rights* say who may hand objects over.
        """
        self._rights = rights
        self._ancestry = ancestry
        self._namespaces = namespaces
        self._policies = policies
        self._kinds = kinds
        self._controllers = kinds.makers | {KUBE_CONTROLLER_MANAGER}

    async def of_new(
        self,
        user: UserInfo,
        kind: AnyKind,
        meta: ObjectMeta,
        namespace: str,
        *,
        written: Callable[[], Written] = Written,
    ) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* creates.

        The first that applies: a restorer creates for whom the stamp of the object names; a trusted controller for the
        owner of the nearest stamped ancestor, or of the StatefulSet that the name of a claim tells; a delegate for whom
        it names (*written* returns what the object carries, and is called for a delegate only); a service account that
        acts in its own namespace with the token of a pod for the owner of that pod. What other service accounts create,
        and controllers for an object without an owner, is paid by the owner of the namespace if it has a mark. Any
        other user pays for what they create, whatever stamp or reference the object carries.
        Raises: UnavailableError if an ancestor or the namespace cannot be read.
        """
        restored = read_stamp(meta)
        if restored is not None and user.username in self._policies.current().restorers:
            return Attributed(restored, f"restored by {user.username}", restored)
        found = await self._of_maker(user, kind, meta, namespace)
        if found is None:
            found = await self._of_delegate(user, kind, namespace, written)
        if isinstance(found, Attributed) and found.payer == NOBODY:
            return await self._of_namespace(namespace) or found
        if found is not None:
            return found
        is_account = user.username.startswith(SERVICE_ACCOUNT_PREFIX)
        owner = await self._of_token(user, namespace) or await self._of_namespace(namespace) if is_account else None
        return owner or self._own(user, "service account" if is_account else "created it")

    async def _of_maker(
        self, user: UserInfo, kind: AnyKind, meta: ObjectMeta, namespace: str
    ) -> Attributed | Refused | None:
        """Return the owner of the object that a trusted controller makes this one for; None for any other user."""
        reference = meta.controller
        if reference is None and kind.is_made_by_name and _is_controller(user, claim_templates.CONTROLLER):
            return await self._of_template(meta.name, namespace)
        if reference is not None and self._acts_for(user, reference):
            found = await self._nearest_stamp(reference, namespace)
            if isinstance(found, _Missing):
                return Refused(f"{_named(found.reference)}, which this was made for, does not exist")
            if found is not None or not self._is_listed(user):
                return _made_for(_named(reference), found)
        return None

    async def _of_delegate(
        self, user: UserInfo, kind: AnyKind, namespace: str, written: Callable[[], Written]
    ) -> Attributed | Refused | None:
        delegate = self._policies.current().delegates.get(user.username)
        if delegate is None or not delegate.acts_on(kind.resource):
            return None
        named = first_named(delegate.marks, await self._texts(namespace, written()))
        if named is None:
            return None
        if not delegate.may_name(named.name):
            return Refused(f"{user.username} must not name {named.name!r} as who pays ({named.mark})")
        payer = Payer(named.name)
        return Attributed(payer, f"named by {user.username} in {named.mark}", payer)

    async def _of_token(self, user: UserInfo, namespace: str) -> Attributed | None:
        """
        Return the known owner of the pod whose token *user* shows; None if there is none, or in another namespace.

        A pod of an operator acts in other namespaces, and not for whoever has installed it.
        """
        extra = user.extra
        kind = self._kinds.of_resource("pods")
        is_here = user.username.startswith(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:")
        if kind is None or extra is None or not is_here or not (extra.pod_name and extra.pod_uid):
            return None
        pod = await self._ancestry.read(kind, namespace, extra.pod_name[0])
        stamp = _known(read_stamp(pod)) if pod is not None and pod.uid == extra.pod_uid[0] else None
        return None if stamp is None else Attributed(stamp, f"owner of Pod {extra.pod_name[0]}, which acts", stamp)

    async def _of_namespace(self, namespace: str) -> Attributed | None:
        """Return the owner that the namespace is marked with, a person; None if there is no such mark."""
        marks = self._policies.current().namespace_owners
        if not marks:
            return None
        texts = await self._texts(namespace, Written())
        named = first_named(marks, texts, skip=lambda name: not is_person(name))
        if named is None:
            return None
        payer = Payer(named.name)
        return Attributed(payer, f"owner of namespace {namespace} by {named.mark}", payer)

    async def _texts(self, namespace: str, written: Written) -> Texts:
        labels = await self._namespaces.labels(namespace)
        annotations = await self._namespaces.annotations(namespace)
        return Texts(namespace, labels, annotations, written.labels or {}, written.annotations or {})

    async def of_changed(self, user: UserInfo, kind: AnyKind, change: Change, namespace: str) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* changes.

        Who made an object pays until it is gone: no adoption, no release and no stamp in the request changes that. One
        without a known owner gets one when a trusted controller adopts it for an owner, or when a person takes it over:
        by their own name in the owner annotation, or by a change with which it grows. Whoever has the right may hand
        any object over, by another owner's name and a field manager that nothing else uses.
        Raises: UnavailableError if an ancestor cannot be read.
        """
        old, meta = change.old, change.new
        stamped = read_stamp(old)
        if change.field_manager == HANDOVER_MANAGER and not change.subresource and _owner(meta) != _owner(old):
            return await self._handed_over(user, change, namespace)
        if stamped is not None and stamped != NOBODY:
            return await self._of_owned(user, kind, change, namespace, stamped)
        before, after = old.controller, meta.controller
        if _uid(before) != _uid(after) or kind.demand is not None:
            moved = await self._of_moved(user, kind, before, after, namespace)
            if moved is not None:
                return moved
        if _names(meta, user) and not change.subresource:
            return self._own(user, _TAKEN_OVER)
        is_raised = self._is_person(user, namespace) and change.grows()
        if is_raised and not await self._is_paid_above(kind, after, namespace):
            return _unowned(kind, old.name, user) if change.subresource else self._own(user, _TAKEN_OVER)
        return Attributed(NOBODY, "never attributed", stamped)

    async def _of_owned(
        self, user: UserInfo, kind: AnyKind, change: Change, namespace: str, stamped: Payer
    ) -> Attributed:
        """
        Return the owner of an object that is *stamped*: the same, maybe with other groups.

        The owner's own change of a workload brings their groups of today for what it makes from then on, and its
        controller brings them to the workloads below.
        """
        if kind.demand is not None and not change.subresource:
            if stamped.owner == user.username:
                return self._own(user, _STAYS)
            above = change.new.controller
            if above is not None and self._acts_for(user, above):
                found = await self._nearest_stamp(above, namespace)
                if isinstance(found, Payer) and found.owner == stamped.owner:
                    return _made_for(_named(above), found)
        return Attributed(stamped, _STAYS, stamped)

    async def refuse_scale(self, user: UserInfo, kind: AnyKind, name: str, namespace: str) -> Refused | None:
        """
        Return why *user* may not give an object of *kind* more replicas through its scale; None if they may.

        That says nothing of who pays, and cannot stamp the object: a person has to take over first what nobody owns.
        Raises: UnavailableError.
        """
        if not self._is_person(user, namespace):
            return None
        meta = await self._ancestry.read(kind, namespace, name)
        if meta is None or _known(read_stamp(meta)) or await self._is_paid_above(kind, meta.controller, namespace):
            return None
        return _unowned(kind, name, user)

    def may_report(self, user: UserInfo) -> bool:
        """Whether *user* is one of those whose reports on the status of a pod are believed, if it says it uses less."""
        if user.username.startswith((_NODE_PREFIX, _COMPONENT_PREFIX, _KUBE_SYSTEM_PREFIX)):
            return True
        return _MASTERS in (user.groups or ()) or self.is_trusted(user)

    def _is_person(self, user: UserInfo, namespace: str) -> bool:
        """
        Whether *user* acts for themselves in *namespace*: a person, or an account that people make there.

        Components of Kubernetes, trusted controllers and robots with an account of another namespace do not, nor do
        members of `system:masters`, who mend what others own.
        """
        if user.username.startswith(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:"):
            return not self.is_trusted(user)
        if user.username.startswith("system:") or _MASTERS in (user.groups or ()):
            return False
        return not self.is_trusted(user)

    def is_trusted(self, user: UserInfo) -> bool:
        """Whether *user* is a controller that may write stamps on behalf of others."""
        return self._is_listed(user) or user.username in self._controllers

    def is_never_denied(self, user: UserInfo, kind: AnyKind) -> bool:
        """Whether *user* is a controller whose updates to objects of *kind* are charged and never denied."""
        return any(_is_controller(user, name) for name in kind.never_denied)

    async def _of_moved(
        self,
        user: UserInfo,
        kind: AnyKind,
        before: OwnerReference | None,
        after: OwnerReference | None,
        namespace: str,
    ) -> Attributed | Refused | None:
        """
        Return the payer of an object without one whose controller is *after*, and was *before*; None: still nobody.

        What it makes is paid by the owner of its controller. So that a change of the reference ends that for nobody, a
        workload is stamped with this owner then; and by a controller that writes the owner of a Deployment, which
        somebody has taken over, on its ReplicaSets.
        """
        is_moved = _uid(before) != _uid(after)
        if before is not None and is_moved and kind.demand is not None:
            found = await self._nearest_stamp(before, namespace)
            if isinstance(found, Payer):
                return _made_for(_named(before), found)
        if after is None:
            return None
        acts = self._acts_for(user, after)
        if not acts and not is_moved:
            return None
        found = await self._nearest_stamp(after, namespace)
        if not isinstance(found, Payer):
            return None
        if acts:
            return _made_for(_named(after), found)
        return Refused(f"{_named(after)} belongs to {found.owner}; only its controller can make this object part of it")

    async def _handed_over(self, user: UserInfo, change: Change, namespace: str) -> Attributed | Refused:
        """Return the owner whom *user* names, with the groups that *user* gives, if any, and if they have the right."""
        owner = _owner(change.new)
        if not (is_person(owner) or (owner.isprintable() and owner.startswith(SERVICE_ACCOUNT_PREFIX))):
            return Refused(f"nothing can be handed over to {owner!r}: name a person or a service account")
        if not await self._rights.may_hand_over(user, namespace, owner):
            needed = "that takes the verb adopt on owners.userquota.dev"
            return Refused(f"{user.username} may not hand objects over to {owner}: {needed}")
        written, before = read_stamp(change.new), read_stamp(change.old)
        is_given = written is not None and (before is None or written.groups != before.groups)
        payer = Payer(owner, written.groups if written is not None and is_given else ())
        return Attributed(payer, f"handed over by {user.username}", stamp_for(payer, self._policies.current()))

    async def _is_paid_above(self, kind: AnyKind, above: OwnerReference | None, namespace: str) -> bool:
        """Whether what a workload makes is paid by the owner of its controller. Other objects pay for themselves."""
        if kind.demand is None or above is None:
            return False
        return isinstance(await self._nearest_stamp(above, namespace), Payer)

    def _own(self, user: UserInfo, found_by: str) -> Attributed:
        payer = Payer(user.username, tuple(sorted(set(user.groups or ()) - {_AUTHENTICATED})))
        stamp = stamp_for(payer, self._policies.current())
        return Attributed(payer, found_by, stamp, len(payer.groups) - len(stamp.groups))

    async def _of_template(self, claim: str, namespace: str) -> Attributed | Refused:
        found = await claim_templates.stateful_set_of(claim, namespace, ancestry=self._ancestry, kinds=self._kinds)
        if found is None:
            return Refused(f"no StatefulSet of namespace {namespace} has a template for claim {claim}")
        return _made_for(f"StatefulSet {found.metadata.name}", _known(read_stamp(found.metadata)))

    def _is_listed(self, user: UserInfo) -> bool:
        return user.username in self._policies.current().trusted_controllers

    def _acts_for(self, user: UserInfo, reference: OwnerReference) -> bool:
        """Whether *user* is a controller that creates objects for owners of this kind."""
        if user.username == KUBE_CONTROLLER_MANAGER or self._is_listed(user):
            return True
        owner = self._kinds.of_owner(reference.api_version, reference.kind)
        return owner is not None and user.username in owner.makers

    async def _nearest_stamp(self, reference: OwnerReference, namespace: str) -> Payer | _Missing | None:
        """
        Return the first known owner up the chain of controller references, None if the chain ends without one.

        An unattributed object is passed by: what is above it may have been taken over since.
        """
        for _ in range(_MAX_CHAIN):
            kind = self._kinds.of_owner(reference.api_version, reference.kind)
            if kind is None:
                return None
            meta = await self._ancestry.read(kind, namespace, reference.name)
            if meta is None or meta.uid != reference.uid:
                return _Missing(reference)
            stamp = _known(read_stamp(meta))
            if stamp is not None:
                return stamp
            if meta.controller is None:
                return None
            reference = meta.controller
        return None


def _made_for(name: str, owner: Payer | None) -> Attributed:
    """Return that the *owner* of the object *name* pays for what is made for it; nobody, if it has none."""
    if owner is None:
        return Attributed(NOBODY, f"{name} has no owner", NOBODY)
    return Attributed(owner, f"owner of {name}", owner)


def _unowned(kind: AnyKind, name: str, user: UserInfo) -> Refused:
    """Return that *user* has to take the object over before it may grow, with the command for it."""
    return Refused(
        f"nobody is known to own {kind.plural} {name}, so that nobody would pay for more; take it over first: "
        f"kubectl annotate {kind.plural} {name} --overwrite {OWNER_ANNOTATION}={user.username}"
    )


def _known(stamp: Payer | None) -> Payer | None:
    """Return the payer of a stamp; None for no stamp, and for that of an unattributed object."""
    return None if stamp == NOBODY else stamp


def _names(meta: ObjectMeta, user: UserInfo) -> bool:
    """Whether the owner annotation is the name of *user*."""
    return _owner(meta) == user.username


def _owner(meta: ObjectMeta) -> str:
    """Return the owner annotation, empty if there is none."""
    return (meta.annotations.owner or "") if meta.annotations is not None else ""


def _uid(reference: OwnerReference | None) -> str | None:
    return None if reference is None else reference.uid


def _is_controller(user: UserInfo, controller: str) -> bool:
    return user.username in (KUBE_CONTROLLER_MANAGER, controller)


def _named(reference: OwnerReference) -> str:
    return f"{reference.kind} {reference.name}"
