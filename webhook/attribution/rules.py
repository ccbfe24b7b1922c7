"""
Who pays for an object: found from the effective user and the chain of owners, never from what the user wrote.

The rules are those of docs/attribution.md. How the answer is kept on the object lies in `stamp`.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.attribution.stamp import has_stamp, read_stamp, stamp_for
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, PolicySource
from webhook.quota.objects import ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, Payer

_LONGEST_CHAIN = 8
"""CronJob, Job, Pod is three. A longer chain than this is a loop or a game."""

_EVERYBODY = "system:authenticated"
_KUBE_SYSTEM = f"{SERVICE_ACCOUNT_PREFIX}kube-system:"

KUBE_CONTROLLER_MANAGER = "system:kube-controller-manager"
"""Makes everything where kube-controller-manager runs without `--use-service-account-credentials`."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """
    The payer, and in a few words how it was found.

    `stamp` is what the object must carry: None for objects that were never stamped and are not stamped in passing.
    `left_out` counts groups of the payer that the stamp is too small for; the policy names none of them.
    """

    payer: Payer
    found_by: str
    stamp: Payer | None
    left_out: int = 0

    def accepts(self, meta: ObjectMeta) -> bool:
        """
        Whether an object carries the right stamp.

        Where groups were left out, a policy that was in force a moment ago may have named others: then every group that
        the policy names now has to be there, and none that the payer is not in.
        """
        if has_stamp(meta, self.stamp):
            return True
        carried = read_stamp(meta)
        if not self.left_out or self.stamp is None or carried is None or carried.owner != self.payer.owner:
            return False
        return set(self.stamp.groups) <= set(carried.groups) <= set(self.payer.groups)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request would forge or break the attribution. `message` says what and why."""

    message: str


@dataclass(frozen=True, slots=True)
class _Missing:
    """A reference that leads to no living object."""

    reference: OwnerReference


class Attribution:
    """Finds the payer. Reads owners live, by name and uid: a cached stamp could be that of the owner before."""

    def __init__(self, ancestry: Ancestry, policies: PolicySource, *, kinds: Registry) -> None:
        """Read owners of those *kinds* that have makers; *policies* tell which other accounts are trusted."""
        self._ancestry = ancestry
        self._policies = policies
        self._kinds = kinds
        self._controllers = frozenset({KUBE_CONTROLLER_MANAGER, *(f"{_KUBE_SYSTEM}{maker}" for maker in kinds.makers)})

    async def of_new(self, user: UserInfo, meta: ObjectMeta, namespace: str) -> Attributed | Refused:
        """
        Give who pays for an object that *user* creates.

        A person pays for what they create, whatever stamp or reference they sent. A trusted controller creates for the
        owner of the nearest stamped ancestor. Any other service account pays itself.
        Raises: UnavailableError if an ancestor cannot be read.
        """
        reference = meta.controller
        if reference is not None and self._acts_for(user, reference):
            found = await self._nearest_stamp(reference, namespace)
            if isinstance(found, _Missing):
                return Refused(f"{_named(found.reference)}, which this was made for, does not exist")
            if found is not None:
                return Attributed(found, f"owner of {_named(reference)}", found)
            if not self._is_listed(user):
                return Attributed(NOBODY, f"{_named(reference)} has no owner", NOBODY)
        payer = Payer(user.username, tuple(sorted(set(user.groups or ()) - {_EVERYBODY})))
        stamp = stamp_for(payer, self._policies.current())
        found_by = "service account" if payer.is_service_account else "created it"
        return Attributed(payer, found_by, stamp, len(payer.groups) - len(stamp.groups))

    async def of_changed(
        self, user: UserInfo, old: ObjectMeta, meta: ObjectMeta, namespace: str
    ) -> Attributed | Refused:
        """
        Give who pays for an object that *user* changes from *old* to *meta*.

        The payer stays, but for adoption: a trusted controller that makes the object its own. Nobody else can set a
        controller reference that leads to another payer. Raises: UnavailableError if an ancestor cannot be read.
        """
        stamped = read_stamp(old)
        was, now = old.controller, meta.controller
        is_set = now is not None and (was is None or was.uid != now.uid)
        if now is not None and (is_set or stamped is None):
            found = await self._nearest_stamp(now, namespace)
            if isinstance(found, Payer):
                if self._acts_for(user, now):
                    return Attributed(found, f"owner of {_named(now)}", found)
                if is_set and found != stamped:
                    return Refused(
                        f"{_named(now)} belongs to {found.owner}; only its controller can make this object part of it"
                    )
        if stamped is None:
            return Attributed(NOBODY, "never attributed", None)
        return Attributed(stamped, "stamped when it was created", stamped)

    def is_trusted(self, user: UserInfo) -> bool:
        """Say whether *user* is a controller that writes stamps on behalf of others."""
        return self._is_listed(user) or user.username in self._controllers

    def _is_listed(self, user: UserInfo) -> bool:
        return user.username in self._policies.current().trusted_controllers

    def _acts_for(self, user: UserInfo, reference: OwnerReference) -> bool:
        """Say whether *user* is the controller whose task it is to make things for such an owner."""
        if user.username == KUBE_CONTROLLER_MANAGER or self._is_listed(user):
            return True
        owner = self._kinds.of_owner(reference.api_version, reference.kind)
        return owner is not None and user.username in {f"{_KUBE_SYSTEM}{maker}" for maker in owner.makers}

    async def _nearest_stamp(self, reference: OwnerReference, namespace: str) -> Payer | _Missing | None:
        """Walk up the controller references; None if the chain ends without a stamp."""
        for _ in range(_LONGEST_CHAIN):
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


def _named(reference: OwnerReference) -> str:
    return f"{reference.kind} {reference.name}"
