"""
Who pays for an object after an update, and which updates give an unowned object an owner.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace

from webhook.attribution.answers import Attributed, Refused, made_for
from webhook.attribution.editors import Editors
from webhook.attribution.identities import Identities
from webhook.attribution.lineage import Lineage, known_owner, named
from webhook.attribution.stamp import read_maker, read_stamp, stamp_for, written_owner
from webhook.kinds.evaluator import AnyKind
from webhook.ports import Ancestry, HandoverRights, PolicySource
from webhook.quota.delegation import is_person
from webhook.quota.objects import OWNER_ANNOTATION, ObjectMeta, OwnerReference, UserInfo
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, UNATTRIBUTED, Payer

_STAYS = "stamped when it was created"
_TAKEN_OVER = "took it over"
_RELEASED = "made it, and its controller has released it"

HANDOVER_MANAGER = "userquota-adopt"
"""
The field manager of a deliberate handover. An exported manifest or a rollback can bring another owner's name as well,
but not this field manager.
"""

HANDOVER_WITH_GROUPS = f"{HANDOVER_MANAGER}-groups"
"""The same, and the groups annotation is the new owner's. It is ignored otherwise: it may be left from the old one."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    An object before and after a request, the *subresource* that it is for, if any, and the client's *field_manager*.

    *grows* returns whether the object asks for more than before, *edits* whether it grows or makes other pods than
    before, and *is_exempt* whether an exemption names the user or the namespace. They are called only if the result
    matters.
    """

    old: ObjectMeta
    new: ObjectMeta
    subresource: str = ""
    field_manager: str = ""
    grows: Callable[[], bool] = lambda: False
    edits: Callable[[], bool] = lambda: False
    is_exempt: Callable[[], bool] = lambda: False


class Changes:
    """Finds the payer of objects that exist."""

    def __init__(  # noqa: PLR0913 - only `rules` calls this
        self,
        ancestry: Ancestry,
        policies: PolicySource,
        *,
        identities: Identities,
        lineage: Lineage,
        editors: Editors,
        rights: HandoverRights,
    ) -> None:
        """Read objects whose scale is changed from *ancestry*; *rights* say who may hand objects over."""
        self._ancestry = ancestry
        self._policies = policies
        self._identities = identities
        self._lineage = lineage
        self._editors = editors
        self._rights = rights

    async def of_changed(self, user: UserInfo, kind: AnyKind, change: Change, namespace: str) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* changes.

        The stamped owner pays until the object is gone; no stamp in the request changes that. Exceptions, in the order
        in which they are checked:

        * A user with the right hands it over: by another owner's name, and a field manager that nothing else uses.
        * The last editor of a workload or session pays, if the policy says so.
        * An unowned object, or one of a cluster administrator (`system:masters` when it was stamped), is taken over by
          a user who writes their own name into the owner annotation, and by a person, or an account of the namespace,
          who makes it grow. A workload whose controller has a known owner is not taken over by growth: that owner pays
          for what it makes.
        * A workload gets the owner of its controller when that controller updates it, and its maker again when it
          leaves that controller.

        Refused are a handover without the right, or to no valid name; an edit of another person's workload where the
        last editor pays; making an unowned workload part of an owned one, unless its controller does; and growth,
        through a subresource, of an object that is unowned or an administrator's.

        Raises: UnavailableError if an ancestor cannot be read.
        """
        stamped = read_stamp(change.old)
        names_other_owner = written_owner(change.new) != written_owner(change.old)
        is_handover = change.field_manager in (HANDOVER_MANAGER, HANDOVER_WITH_GROUPS)
        if names_other_owner and is_handover and not change.subresource:
            return await self._handed_over(user, change, namespace)
        editor_pays = not change.subresource and self._editors.pays(user, kind, namespace, is_exempt=change.is_exempt)
        if editor_pays and change.edits():
            return await self._editors.of_edited(user, kind, change.old, change.new, namespace)
        if stamped is None or stamped == NOBODY:
            return await self._of_unattributed(user, kind, change, namespace)
        if self._identities.is_cluster_admin(stamped):
            taken_over = await self._taken_over(user, kind, change, namespace)
            if taken_over is not None:
                return taken_over
        return await self._of_owned(user, kind, change, namespace, stamped)

    async def _of_unattributed(
        self, user: UserInfo, kind: AnyKind, change: Change, namespace: str
    ) -> Attributed | Refused:
        """Return the owner that the change gives to an unowned object; nobody if it gives none."""
        old, meta = change.old, change.new
        if kind.demand is not None:
            given = await self._given_by_controller(user, old.controller, meta.controller, namespace)
            if given is not None:
                return given
        taken_over = await self._taken_over(user, kind, change, namespace)
        return taken_over or Attributed(NOBODY, "never attributed", read_stamp(old))

    async def _taken_over(
        self, user: UserInfo, kind: AnyKind, change: Change, namespace: str
    ) -> Attributed | Refused | None:
        """
        Return *user* as the payer if they take over an object that is unowned or an administrator's; None otherwise.

        Refused if they make it grow through a subresource, which cannot stamp it, and the policy enforces anything.
        """
        if _names(change.new, user) and not change.subresource:
            return self._identities.as_payer(user, _TAKEN_OVER)
        if not (self._identities.is_person(user, namespace) and change.grows()):
            return None
        if await self._lineage.is_paid_above(kind, change.new.controller, namespace):
            return None
        if change.subresource and not self._policies.current().enforces:
            return None
        if change.subresource:
            return _growth_refused(kind, namespace, change.old.name, user, read_stamp(change.old))
        return self._identities.as_payer(user, _TAKEN_OVER)

    async def _of_owned(
        self, user: UserInfo, kind: AnyKind, change: Change, namespace: str, stamped: Payer
    ) -> Attributed:
        """
        Return the owner of an object that is *stamped*: the same, except of a workload.

        A workload costs nothing itself; its owner pays for what it makes from now on. A change by its owner brings the
        groups that the owner has today.

        A workload that a controller has adopted is paid by the controller's owner: otherwise somebody could adopt a
        ReplicaSet, and scale it at the cost of another. Its maker is kept, and pays again once it has another
        controller or none: otherwise the maker could take it back, and scale it at the cost of the adopter.
        """
        maker = read_maker(change.old) if kind.demand is not None else None
        old_controller, new_controller = change.old.controller, change.new.controller
        followed = await self._followed(user, kind, change, namespace)
        if followed is not None:
            former = stamped if maker is None else maker
            return replace(followed, maker=None if former.owner == followed.payer.owner else former)
        if maker is not None and _uid(old_controller) != _uid(new_controller):
            return Attributed(maker, _RELEASED, maker)
        if kind.demand is not None and not change.subresource and stamped.owner == user.username:
            return replace(self._identities.as_payer(user, _STAYS), maker=maker)
        return Attributed(stamped, _STAYS, stamped, maker=maker)

    async def _followed(self, user: UserInfo, kind: AnyKind, change: Change, namespace: str) -> Attributed | None:
        """Return the owner of a workload's controller; None if that is not known, or another user makes this change."""
        controller = change.new.controller
        if kind.demand is None or change.subresource or controller is None:
            return None
        if not self._identities.acts_for(user, controller):
            return None
        found = await self._lineage.owner_above(controller, namespace)
        return made_for(named(controller), found) if isinstance(found, Payer) else None

    async def _given_by_controller(
        self, user: UserInfo, before: OwnerReference | None, after: OwnerReference | None, namespace: str
    ) -> Attributed | Refused | None:
        """
        Return the payer that an unowned workload gets from a controller; None if none gives it one.

        Its controller was *before* and is *after*. It gets

        * the owner of the former one, who goes on paying, if it has another controller now, or none;
        * the owner of the present one if that controller updates it: it adopts it, or passes the new owner of a
          Deployment on to its ReplicaSets.

        Refused if anybody else makes it part of a controller whose owner is known. Pods and claims do not come here:
        whoever could label an unowned pod would make its adopter pay.
        """
        is_moved = _uid(before) != _uid(after)
        if before is not None and is_moved:
            found = await self._lineage.owner_above(before, namespace)
            if isinstance(found, Payer):
                return made_for(named(before), found)
        if after is None:
            return None
        acts = self._identities.acts_for(user, after)
        if not acts and not is_moved:
            return None
        found = await self._lineage.owner_above(after, namespace)
        if not isinstance(found, Payer):
            return None
        if acts:
            return made_for(named(after), found)
        return Refused(f"{named(after)} belongs to {found.owner}; only its controller can make this object part of it")

    async def _handed_over(self, user: UserInfo, change: Change, namespace: str) -> Attributed | Refused:
        """Return the owner whom *user* names, or nobody, if *user* has the right; with the groups that *user* gives."""
        owner = written_owner(change.new)
        is_account = owner.isprintable() and owner.startswith(SERVICE_ACCOUNT_PREFIX)
        if not (is_person(owner) or is_account or owner == UNATTRIBUTED):
            return Refused(f"nothing can be handed over to {owner!r}: name a person or a service account")
        gives_groups = change.field_manager == HANDOVER_WITH_GROUPS  # any groups, also those of an exemption
        if not await self._rights.may_hand_over(user, namespace, "" if gives_groups else owner):
            needed = "that takes the verb adopt on owners.userquota.dev"
            return Refused(f"{user.username} may not hand objects over to {owner}: {needed}")
        written = read_stamp(change.new) if gives_groups else None
        payer = Payer(owner, written.groups if written is not None and owner != UNATTRIBUTED else ())
        return Attributed(payer, f"handed over by {user.username}", stamp_for(payer, self._policies.current()))

    async def refuse_scale(
        self, user: UserInfo, kind: AnyKind, name: str, namespace: str, *, is_exempt: Callable[[], bool] = lambda: False
    ) -> Refused | None:
        """
        Return why *user* may not give an object of *kind* more replicas through its scale; None if they may.

        A Scale has no annotations, so it cannot stamp the object: a person first has to take over an object that is
        unowned or an administrator's, except where the owner of its controller pays, or no entry of the policy refuses
        anything yet. If the last editor is to pay, they may not scale what another person would pay for, unless an
        exemption names them or the namespace: then they pay for nothing.

        Raises: UnavailableError.
        """
        if not self._identities.is_person(user, namespace):
            return None
        meta = await self._ancestry.read(kind, namespace, name)
        if meta is None:
            return None
        owner = known_owner(meta)
        is_of_admin = owner is not None and self._identities.is_cluster_admin(owner)
        if not is_of_admin:
            refused = await self.refuse_scale_of_others(user, kind, meta, namespace, is_exempt=is_exempt)
            if refused is not None:
                return refused
        if owner is not None and not is_of_admin:
            return None  # its owner pays for more
        if not self._policies.current().enforces or await self._lineage.is_paid_above(kind, meta.controller, namespace):
            return None
        return _growth_refused(kind, namespace, name, user, owner)

    async def refuse_scale_of_others(
        self, user: UserInfo, kind: AnyKind, meta: ObjectMeta, namespace: str, *, is_exempt: Callable[[], bool]
    ) -> Refused | None:
        """Return why another person's object must not be given more replicas. See `Editors.refuse_scale`."""
        return await self._editors.refuse_scale(user, kind, meta, namespace, is_exempt=is_exempt)


def _growth_refused(kind: AnyKind, namespace: str, name: str, user: UserInfo, owner: Payer | None) -> Refused:
    """Return that *user* has to take the object over before it may grow, with the command for it."""
    command = shlex.quote(f"{OWNER_ANNOTATION}={user.username}")
    is_known = owner is not None and owner != NOBODY
    whose = "an administrator owns" if is_known else "nobody is known to own"
    why = "no limit binds it" if is_known else "nobody would pay for more"
    return Refused(
        f"{whose} {kind.plural} {name}, so {why}; take it over first: "
        f"kubectl annotate {kind.plural} {name} -n {namespace} --overwrite {command}"
    )


def _names(meta: ObjectMeta, user: UserInfo) -> bool:
    """Whether the owner annotation is the name of *user*."""
    return written_owner(meta) == user.username


def _uid(reference: OwnerReference | None) -> str | None:
    return None if reference is None else reference.uid
