"""
A charge that waits for the ledger: decided by the policy, limits and usage of the moment in which the ledger asks.

So a limit binds that was lowered while the charge waited, and one that was lifted does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from webhook.admission.charge import Reviewed, under
from webhook.admission.outcome import Terms
from webhook.ports import Clock, NameHolders, Namespaces, OpenEdits, PolicySource, UnavailableError
from webhook.quota import scopes
from webhook.quota.decision import Decision, Lack, decide, lacks_of, must_declare, with_fullest
from webhook.quota.endings import ending_limit
from webhook.quota.fitting import Copies, Fitting, Part, fit, with_fitting
from webhook.quota.limits import LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.pool_limits import Capacity, NoNodes, limits_in_force
from webhook.quota.reservation import Charge
from webhook.quota.usage import UsageView


class Surroundings(Protocol):
    """What decides with the charge: the fields of `AdmissionHandler`."""

    @property
    def policies(self) -> PolicySource:
        """The policy in force."""

    @property
    def namespaces(self) -> Namespaces:
        """The labels of namespaces."""

    @property
    def names(self) -> NameHolders:
        """Who holds a name, and what has to be known before anything grows."""

    @property
    def clock(self) -> Clock:
        """The time by which limits begin and end."""

    @property
    def order(self) -> OpenEdits:
        """Whether anything that was promised is being edited."""

    @property
    def capacity(self) -> Capacity:
        """What nodes have."""

    @property
    def on_terms(self) -> Callable[[Terms], None]:
        """Called with the terms of each decision."""


@dataclass(slots=True)
class Deciding:
    """
    One charge, and what was read for it before: *labels* of its namespace, and *existing* pods that are replaced.

    It *may_deny*, or only records what is the case. *is_told*: whoever asks is warned of what is full or ends soon.
    """

    surroundings: Surroundings
    reviewed: Reviewed
    charge: Charge
    labels: Mapping[str, str]
    existing: tuple[ObjectKey, ...]
    may_deny: bool
    is_told: bool
    _terms: Terms | None = field(init=False, default=None)

    def decide(self, view: UsageView) -> Decision:
        """Return the decision on *view*. The ledger may ask again. Raises: UnavailableError."""
        terms = self._terms = self._of_now()
        self.surroundings.on_terms(terms)
        charge, in_force = terms.charge, terms.in_force
        if self.may_deny and charge.grows:
            self.surroundings.names.require_known(charge.key.resource, is_session=self.charge.is_session)
        may_refuse = self.may_deny and terms.exemption is None
        decision = decide(charge, in_force, view, may_deny=may_refuse, lacks=self._lacks(terms))
        percent = terms.policy.warn_at.percent if self.is_told and may_refuse else None
        decision = with_fullest(decision, charge, in_force, view, percent=percent)
        if not charge.needs_more:
            return decision
        return with_fitting(decision, self._fitting(terms, view), may_deny=may_refuse)

    def decided_on(self) -> Terms:
        """Return the terms of the last decision, with the limit that ends soon if whoever asks is told of it."""
        assert self._terms is not None  # noqa: S101 - `Transactions.transact` has asked
        terms = self._terms
        if not (self.is_told and self.may_deny) or terms.exemption is not None:
            return terms
        ending = ending_limit(terms.policy, terms.charge, labels=self._labels(), now=self.surroundings.clock.now())
        return terms._replace(ending=ending)

    def _labels(self) -> Mapping[str, str]:
        return self.surroundings.namespaces.known(self.charge.key.namespace) or self.labels

    def _of_now(self) -> Terms:
        policy, labels, now = self.surroundings.policies.current(), self._labels(), self.surroundings.clock.now()
        charge = under(policy, self.charge, labels=labels)
        exemption = policy.exemptions.of(charge.account, charge.key.namespace, now)
        is_refusable = self.may_deny and charge.grows and exemption is None
        return Terms(policy, charge, self._limits(policy, charge, labels, now, is_refusable=is_refusable), exemption)

    def _limits(
        self, policy: Policy, charge: Charge, labels: Mapping[str, str], now: datetime, *, is_refusable: bool
    ) -> LimitsInForce:
        """
        Return the limits in force. Only what may be refused waits for an edit of what is promised, and until it is
        known what nodes have. Raises: UnavailableError.
        """
        if is_refusable and scopes.values_of(scopes.NODE_CLASS, charge.scopes):
            self.surroundings.order.require_no_open_edit()
        account, place = charge.account, charge.key.namespace
        bind = partial(limits_in_force, policy, account, namespace=place, labels=labels, now=now)
        try:
            return bind(capacity=self.surroundings.capacity)
        except UnavailableError:
            if is_refusable:
                raise
            return bind(capacity=NoNodes())

    def _fitting(self, terms: Terms, view: UsageView) -> Fitting:
        """Return whether the pods fit that are made for the object; the existing ones are replaced by them."""
        pods = terms.charge.pods
        part = Part(pods.needed if pods is not None else (), None, terms.in_force)
        return fit(Copies(1, [part], (terms.charge.key, *self.existing), are_replaced=True), view)

    def _lacks(self, terms: Terms) -> tuple[Lack, ...]:
        """Return the limits on what a new object has to declare and does not; most policies require nothing."""
        if self.reviewed.old is not None or not terms.policy.may_require:
            return ()
        required = must_declare(terms.policy, terms.in_force, caps=terms.charge.caps)
        return lacks_of(required, self.reviewed.kind.evaluator.undeclared(self.reviewed.new)) if required else ()
