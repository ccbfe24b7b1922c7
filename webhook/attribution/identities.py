"""
Who a user is to attribution: a controller that acts for others, a component of Kubernetes, or somebody who acts alone.
"""

from __future__ import annotations

from webhook.attribution.answers import Attributed
from webhook.attribution.stamp import stamp_for
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.ports import PolicySource
from webhook.quota.objects import OwnerReference, UserInfo
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX, Payer

_AUTHENTICATED = "system:authenticated"
_MASTERS = "system:masters"
_NODE_PREFIX = "system:node:"
_COMPONENT_PREFIX = "system:kube-"
_KUBE_SYSTEM_PREFIX = f"{SERVICE_ACCOUNT_PREFIX}kube-system:"

KUBE_CONTROLLER_MANAGER = "system:kube-controller-manager"
"""The user of all controllers if kube-controller-manager runs without `--use-service-account-credentials`."""


class Identities:
    """Tells users apart by their names and groups, which the API server has authenticated."""

    def __init__(self, policies: PolicySource, *, kinds: Registry) -> None:
        """Know the controllers that make objects for owners of *kinds*; *policies* name further ones."""
        self._policies = policies
        self._kinds = kinds

    def is_listed(self, user: UserInfo) -> bool:
        """Whether *user* is a trusted controller of the policy."""
        return user.username in self._policies.current().trusted_controllers

    def is_trusted(self, user: UserInfo) -> bool:
        """Whether *user* is a controller that may write stamps on behalf of others."""
        return self.is_listed(user) or user.username in self._kinds.makers or user.username == KUBE_CONTROLLER_MANAGER

    def acts_for(self, user: UserInfo, reference: OwnerReference) -> bool:
        """Whether *user* is a controller that creates objects for owners of this kind."""
        if user.username == KUBE_CONTROLLER_MANAGER or self.is_listed(user):
            return True
        owner = self._kinds.of_owner(reference.api_version, reference.kind)
        return owner is not None and user.username in owner.makers

    def is_person(self, user: UserInfo, namespace: str) -> bool:
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

    def is_told(self, user: UserInfo) -> bool:
        """Whether a warning to *user* reaches a person: not the log of a component, an account or a controller."""
        return not user.username.startswith("system:") and not self.is_trusted(user)

    def is_cluster_admin(self, payer: Payer) -> bool:
        """Whether *payer* is a member of `system:masters`, whom the shipped policy exempts from all limits."""
        return _MASTERS in payer.groups

    def may_report(self, user: UserInfo) -> bool:
        """Whether *user* is one of those whose reports on the status of a pod are believed, if it says it uses less."""
        if user.username.startswith((_NODE_PREFIX, _COMPONENT_PREFIX, _KUBE_SYSTEM_PREFIX)):
            return True
        return _MASTERS in (user.groups or ()) or self.is_trusted(user)

    def is_never_denied(self, user: UserInfo, kind: AnyKind) -> bool:
        """
        Whether *user* is a controller whose updates to objects of *kind* are charged and never denied.

        It would retry for ever, and whatever else it has to do would wait: scaling down, for example.
        """
        is_of_workload = kind.demand is not None and self.is_trusted(user)
        return is_of_workload or any(is_controller(user, name) for name in kind.never_denied)

    def as_payer(self, user: UserInfo, found_by: str) -> Attributed:
        """Return that *user* pays, with the groups of the request."""
        payer = Payer(user.username, tuple(sorted(set(user.groups or ()) - {_AUTHENTICATED})))
        stamp = stamp_for(payer, self._policies.current())
        return Attributed(payer, found_by, stamp, len(payer.groups) - len(stamp.groups))


def is_controller(user: UserInfo, controller: str) -> bool:
    """Whether *user* is this *controller* of Kubernetes, under an account of its own or the common one."""
    return user.username in (KUBE_CONTROLLER_MANAGER, controller)
