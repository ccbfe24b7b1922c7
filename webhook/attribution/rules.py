"""
Find the payer of an object from the effective user and the chain of owners, never from annotations of the user.

docs/attribution.md describes the rules. `stamp` writes the payer on the object.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.attribution import claim_templates
from webhook.attribution.stamp import has_stamp, read_stamp, stamp_for
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, PolicySource
from webhook.quota.objects import ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY, Payer

_MAX_CHAIN = 8
"""Owners read per object. CronJob, Job, Pod is a chain of three; one longer than this is a loop or made on purpose."""

_STAYS = "stamped when it was created"
_AUTHENTICATED = "system:authenticated"

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


class Attribution:
    """Finds the payer. Owners are read live, by name and uid: a cached one could be of an earlier object."""

    def __init__(self, ancestry: Ancestry, policies: PolicySource, *, kinds: Registry) -> None:
        """Read owners of *kinds* that have makers, from *ancestry*; *policies* name further trusted controllers."""
        self._ancestry = ancestry
        self._policies = policies
        self._kinds = kinds
        self._controllers = kinds.makers | {KUBE_CONTROLLER_MANAGER}

    async def of_new(self, user: UserInfo, kind: AnyKind, meta: ObjectMeta, namespace: str) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* creates.

        A person pays for what they create, whatever stamp or reference the object carries. A trusted controller creates
        for the owner of the nearest stamped ancestor; a claim without a reference, for the StatefulSet that its name
        tells. Any other service account pays itself.
        Raises: UnavailableError if an ancestor cannot be read.
        """
        reference = meta.controller
        if reference is None and kind.is_made_by_name and _is_controller(user, claim_templates.CONTROLLER):
            return await self._of_template(meta.name, namespace)
        if reference is not None and self._acts_for(user, reference):
            found = await self._nearest_stamp(reference, namespace)
            if isinstance(found, _Missing):
                return Refused(f"{_named(found.reference)}, which this was made for, does not exist")
            if found is not None or not self._is_listed(user):
                return _made_for(_named(reference), found)
        payer = Payer(user.username, tuple(sorted(set(user.groups or ()) - {_AUTHENTICATED})))
        stamp = stamp_for(payer, self._policies.current())
        found_by = "service account" if payer.is_service_account else "created it"
        return Attributed(payer, found_by, stamp, len(payer.groups) - len(stamp.groups))

    async def of_changed(
        self, user: UserInfo, kind: AnyKind, old: ObjectMeta, meta: ObjectMeta, namespace: str
    ) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* changes from *old* to *meta*.

        The payer stays the same, except for adoption: a trusted controller sets a reference to an owner that it
        acts for. No other user can set a controller reference that leads to another payer. Objects of a kind that
        `keeps_payer` are adopted only while nobody is known to own them.

        Raises: UnavailableError if an ancestor cannot be read.
        """
        stamped = read_stamp(old)
        before, after = old.controller, meta.controller
        is_changed = after is not None and (before is None or before.uid != after.uid)
        if after is not None and (is_changed or stamped is None):
            found = await self._nearest_stamp(after, namespace)
            if isinstance(found, Payer):
                if self._acts_for(user, after):
                    if kind.keeps_payer and stamped is not None and stamped != NOBODY:
                        return Attributed(stamped, _STAYS, stamped)
                    return _made_for(_named(after), found)
                if is_changed and found != stamped:
                    return Refused(
                        f"{_named(after)} belongs to {found.owner}; only its controller can make this object part of it"
                    )
        if stamped is None:
            return Attributed(NOBODY, "never attributed", None)
        return Attributed(stamped, _STAYS, stamped)

    def is_trusted(self, user: UserInfo) -> bool:
        """Whether *user* is a controller that may write stamps on behalf of others."""
        return self._is_listed(user) or user.username in self._controllers

    def is_never_denied(self, user: UserInfo, kind: AnyKind) -> bool:
        """Whether *user* is a controller whose updates to objects of *kind* are charged and never denied."""
        return any(_is_controller(user, name) for name in kind.never_denied)

    async def _of_template(self, claim: str, namespace: str) -> Attributed | Refused:
        found = await claim_templates.stateful_set_of(claim, namespace, ancestry=self._ancestry, kinds=self._kinds)
        if found is None:
            return Refused(f"no StatefulSet of namespace {namespace} has a template for claim {claim}")
        return _made_for(f"StatefulSet {found.metadata.name}", read_stamp(found.metadata))

    def _is_listed(self, user: UserInfo) -> bool:
        return user.username in self._policies.current().trusted_controllers

    def _acts_for(self, user: UserInfo, reference: OwnerReference) -> bool:
        """Whether *user* is a controller that creates objects for owners of this kind."""
        if user.username == KUBE_CONTROLLER_MANAGER or self._is_listed(user):
            return True
        owner = self._kinds.of_owner(reference.api_version, reference.kind)
        return owner is not None and user.username in owner.makers

    async def _nearest_stamp(self, reference: OwnerReference, namespace: str) -> Payer | _Missing | None:
        """Return the first stamp up the chain of controller references, None if the chain ends without one."""
        for _ in range(_MAX_CHAIN):
            kind = self._kinds.of_owner(reference.api_version, reference.kind)
            if kind is None:
                return None
            meta = await self._ancestry.read(kind, namespace, reference.name)
            if meta is None or meta.uid != reference.uid:
                return _Missing(reference)
            stamp = read_stamp(meta)
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


def _is_controller(user: UserInfo, controller: str) -> bool:
    return user.username in (KUBE_CONTROLLER_MANAGER, controller)


def _named(reference: OwnerReference) -> str:
    return f"{reference.kind} {reference.name}"
