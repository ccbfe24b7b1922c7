"""
How a subject stands to its limits: one row for each limit, with what is used, held and free of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from webhook.quota import subject
from webhook.quota.catalogue import Catalogue
from webhook.quota.limits import Limit, LimitsInForce, limits_of_any, resolve_limits, shared_limits
from webhook.quota.policy import Policy
from webhook.quota.resources import Amount
from webhook.quota.subject import Account, Payer, Subject, selector_of, unscoped
from webhook.quota.usage import UsageIndex
from webhook.view.rules import Rule, Rules

Groups = tuple[str, ...]
"""The groups that the policy names, of those that somebody was in when they made an object."""


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What *subject* uses of *resource*, in billionths of its unit, and the limit on that.

    `limit` None: it is used and nothing limits it. `subject` has a selector before it where only what that selects
    counts. Of the limit `set_aside` is guaranteed to others inside and not used by them.
    """

    subject: Subject
    resource: str
    used: Amount
    reserved: Amount
    limit: Limit | None = None
    rule: Rule | None = None
    set_aside: Amount = 0

    @property
    def free(self) -> Amount:
        """Return how much more may be asked for; 0 without a limit says nothing."""
        return max(self.limit.hard - self.used - self.reserved - self.set_aside, 0) if self.limit else 0

    @property
    def over(self) -> Amount:
        """Return how much more is used and held than the limit allows."""
        return max(self.used + self.reserved - self.limit.hard, 0) if self.limit else 0


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit on each object by itself."""

    limit: Limit
    rule: Rule


@dataclass(frozen=True, slots=True)
class Quota:
    """
    All that binds one subject, or one caller: standings by subject and resource, and caps on one object.

    `catalogue` is what the policy says of resources.
    """

    standings: tuple[Standing, ...]
    caps: tuple[Cap, ...]
    catalogue: Catalogue = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a view is made of. *labels* returns the labels of a namespace, none for one that is not known."""

    policy: Policy
    usage: UsageIndex
    labels: Callable[[str], Mapping[str, str]]
    now: datetime


def own_quota(scene: Scene, payer: Payer, namespace: str = "") -> Quota:
    """
    Return what binds an object that *payer* would make now, in *namespace* if one is given.

    Of what is shared only sums are told, as in a refusal.
    """
    limits = _limits_of(scene, payer, namespace)
    holder = scene.policy.holder_of(payer)
    sums = dict.fromkeys(limits.sums, ())
    guaranteed_to = scene.policy.holders_of(payer, namespace, scene.labels(namespace) if namespace else {})
    return _quota(scene, Rules(scene.policy), sums, limits.caps, whole=(holder,), guaranteed_to=guaranteed_to)


class Everybody:
    """
    The quotas of all subjects that use something or have an entry in the policy.

    `note` must be called with the account and namespace of each object and each reservation: the limits on a person
    depend on the groups that these were made with. The work is in small steps, so that reviews are answered between.
    """

    def __init__(self, scene: Scene, namespaces: Iterable[str]) -> None:
        """Begin with what the policy names; *namespaces* are those that exist."""
        self._scene = scene
        self._rules = Rules(scene.policy)
        self._sums: dict[Subject, dict[Limit, set[Groups]]] = {}
        self._caps: dict[Subject, dict[Limit, None]] = {}
        self._noted: set[tuple[Account, str]] = set()
        self._add_entries(namespaces)

    def note(self, account: Account, namespace: str) -> None:
        """Take in the limits that bind objects of *account* in *namespace*."""
        if (account, namespace) in self._noted:
            return
        self._noted.add((account, namespace))
        scene = self._scene
        labels = scene.labels(namespace)
        self._add(
            account.payer, resolve_limits(scene.policy, account, namespace=namespace, labels=labels, now=scene.now)
        )

    def expect(self, payer: Payer) -> None:
        """Take in the limits of *payer*, even if it uses nothing."""
        self._add(payer, _limits_of(self._scene, payer))

    def subjects(self) -> list[Subject]:
        """Return the subjects, sorted."""
        using = {each for each in self._scene.usage.subjects() if not each.startswith("[")}
        return sorted(using | self._sums.keys())

    def quota(self, whom: Subject) -> Quota:
        """Return the quota of *whom*, with what is used and not limited."""
        caps = self._caps.get(whom, {})
        return _quota(self._scene, self._rules, self._sums.get(whom, {}), caps, whole=(whom,))

    def _add(self, payer: Payer, limits: LimitsInForce) -> None:
        groups = self._scene.policy.groups_of(payer)
        for limit in limits.sums:
            self._sums.setdefault(unscoped(limit.subject), {}).setdefault(limit, set()).add(groups)
        caps = self._caps.setdefault(self._scene.policy.holder_of(payer), {})
        for limit in limits.caps:
            caps[limit] = None

    def _add_entries(self, namespaces: Iterable[str]) -> None:
        policy, now = self._scene.policy, self._scene.now
        for owner in (*policy.users, *policy.service_accounts):
            self.expect(Payer(owner))
        shared = [(subject.group(name), each.pool) for name, each in policy.groups.items() if each.pool]
        shared += [(subject.tenant(name), each.entry) for name, each in policy.tenants.items()]
        shared += [(subject.namespace(name), entry) for name, entry in policy.namespaces.items()]
        if policy.cluster is not None:
            shared.append((subject.CLUSTER, policy.cluster))
        for name in namespaces:
            tenants = (policy.tenants[tenant] for tenant in policy.tenants_of(self._scene.labels(name)))
            shared += [(subject.namespace(name), each.per_namespace) for each in tenants if each.per_namespace]
        for bound, entry in shared:
            for limit in shared_limits(policy, bound, entry, now=now):
                self._sums.setdefault(bound, {}).setdefault(limit, set())


def _limits_of(scene: Scene, payer: Payer, namespace: str = "") -> LimitsInForce:
    """Return the limits that may bind an object of *payer*; without a *namespace* those that bind it in every one."""
    labels = scene.labels(namespace) if namespace else {}
    return limits_of_any(scene.policy, payer, namespace=namespace, labels=labels, now=scene.now)


def _quota(  # noqa: PLR0913 - what is told, and of whom
    scene: Scene,
    rules: Rules,
    sums: Mapping[Limit, Collection[Groups]],
    caps: Iterable[Limit],
    *,
    whole: tuple[Subject, ...],
    guaranteed_to: Collection[Subject] = (),
) -> Quota:
    """
    Return the rows for the limits *sums* and *caps*, and for all else that the subjects in *whole* use. What is set
    aside for the first of *guaranteed_to* is not set aside for others.

    Each of *sums* binds what was made in some sets of groups; without any, everything. Of a person who was in others
    at another time the limits do not all bind the same objects, and each row says which.
    """
    caps = tuple(caps)
    scene.usage.promise(scene.policy.promised(scene.now))
    by_subject: dict[Subject, list[Limit]] = {}
    for limit in sums:
        by_subject.setdefault(limit.subject, []).append(limit)
    rows = []
    for limit, sets in sums.items():
        rivals = by_subject[limit.subject]
        beside = [each for each in rivals if not sets or not sums[each] or not set(sets).isdisjoint(sums[each])]
        rule = rules.of(limit, beside)
        if limit.subject in whole and any(set(sums[each]) - set(sets) for each in rivals):
            rule = replace(rule, text=f"{rule.text}; for what is made {_in_groups(sets)}")
        row = _standing(scene.usage, limit.subject, limit.resource, limit, rule)
        rows.append(replace(row, set_aside=_set_aside(scene, limit, guaranteed_to)))
    limited = {(limit.subject, limit.resource) for limit in sums}
    rows += [
        _standing(scene.usage, whom, name)
        for whom in whole
        for name in scene.usage.names(whom)
        if (whom, name) not in limited
    ]
    told = tuple(Cap(limit, rules.of(limit, caps)) for limit in _sorted(caps))
    return Quota(tuple(sorted(rows, key=_order)), told, scene.policy.catalogue)


def _in_groups(sets: Collection[Groups]) -> str:
    told = sorted(f"in {' and '.join(groups)}" if groups else "in no group of the policy" for groups in sets)
    return " or ".join(told)


def _set_aside(scene: Scene, limit: Limit, holders: Collection[Subject]) -> Amount:
    """Return how much of *limit* is guaranteed to others than the first of *holders*, who do not use it."""
    guarantees, usage = scene.policy.guarantees, scene.usage
    if not guarantees.sets_aside(limit.subject, limit.resource):
        return 0
    own = guarantees.holder_in(limit.subject, holders)
    unused: Amount = 0
    if own is not None:
        unused = max(guarantees.amount_of(own, limit.resource) - usage.allocated(own, limit.resource), 0)
    return usage.set_aside(limit.subject, limit.resource) - unused


def _standing(
    usage: UsageIndex, whom: Subject, name: str, limit: Limit | None = None, rule: Rule | None = None
) -> Standing:
    return Standing(whom, name, usage.used(whom, name), usage.reserved(whom, name), limit, rule)


_KINDS = ("user/", "serviceaccounts/", "group/", "tenant/", "namespace/", "cluster")


def _order(each: Standing) -> tuple[object, ...]:
    """Order as a refusal does: the user, groups, tenants, namespaces, the cluster; by resource, the lowest first."""
    whom = unscoped(each.subject)
    kind = next((number for number, prefix in enumerate(_KINDS) if whom.startswith(prefix)), len(_KINDS))
    limit = each.limit
    last = (0, limit.hard, limit.entry) if limit else (1, 0, "")
    return (kind, whom, selector_of(each.subject), each.resource, *last)


def _sorted(caps: Iterable[Limit]) -> Iterator[Limit]:
    yield from sorted(caps, key=lambda each: (each.cap, each.resource, each.hard, each.entry))
