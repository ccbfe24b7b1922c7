"""
What exists in a cluster, taken object by object: the usage index, who belongs to whom, and who wrote what.

Of an object are kept its row, as in a replica, and a link; what is made of them is in the modules above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from copy import copy
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import structs

from webhook.attribution.creations import Written
from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind, PodDefaults, UncountableError
from webhook.kinds.session_marks import NamespaceTexts
from webhook.preflight.traces import DaemonSet, TracedMeta
from webhook.quota.delegation import Texts
from webhook.quota.objects import ObjectKey, ObjectMeta, OwnerReference
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.presets import PER_SESSION, SESSIONS
from webhook.quota.resources import Amounts
from webhook.quota.subject import NOBODY, UNATTRIBUTED, Payer
from webhook.quota.usage import Row, UsageIndex


class Link(NamedTuple):
    """
    A pod, a workload or a session, and its controller.

    `payer` is whom its stamp names: nobody for what is made for an object without an owner, None without a stamp.
    """

    resource: str
    kind: str
    namespace: str
    name: str
    controller: OwnerReference | None
    payer: Payer | None

    @property
    def is_owned(self) -> bool:
        """Whether its stamp names somebody."""
        return self.payer is not None and self.payer.owner != UNATTRIBUTED


class Topmost(NamedTuple):
    """
    An object that nobody is known to own and that no controller has made, with what a delegate may be believed of it.

    `said` is whose it is by the preset of its kind and where that stands, None if it says nothing; or why that cannot
    be read.
    """

    kind: AnyKind
    meta: ObjectMeta
    written: Written
    said: tuple[str, str] | UncountableError | None
    is_session: bool


class CountedObject(NamedTuple):
    """
    An object that costs something, and what it comes to with the weights of the policy.

    `size` is what the pods of a session cost together; None for other objects.
    """

    kind: AnyKind
    key: ObjectKey
    row: Row
    amounts: Amounts
    size: Amounts | None = None

    @property
    def capped(self) -> Amounts:
        """What caps on one object are compared with."""
        return self.amounts if self.size is None else self.size

    @property
    def caps(self) -> tuple[str | None, ...]:
        """The caps that bind it: a pod that is a session is bounded as both."""
        is_session = any(name == SESSIONS for name, _ in self.amounts)
        return (self.kind.cap, PER_SESSION) if is_session else (self.kind.cap,)


class Census:
    """
    The objects of a cluster under one policy, at one time.

    *labels* and *annotations* are those of all namespaces; objects in *exempt* ones, and those that a kind excepts, are
    left out.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        labels: Mapping[str, Mapping[str, str]],
        annotations: Mapping[str, Mapping[str, str]] | None = None,
        exempt: Container[str],
        now: datetime,
    ) -> None:
        self.policy = policy
        self.labels = labels
        self.annotations = annotations or {}
        self.exempt = exempt
        self.now = now
        self.index = UsageIndex(accounts_under(policy, self.labels_of), policy.devices)
        self.links: dict[str, Link] = {}
        """Pods, workloads and sessions by uid."""
        self.topmost: list[Topmost] = []
        """The sessions, and what delegates of the policy act on."""
        self.daemon_sets: list[tuple[str, str, int]] = []
        """Namespace, name, and number of nodes."""
        self.written: Counter[str] = Counter()
        """Pods and workloads by field manager; one that several have written counts for each."""
        self.written_topmost: Counter[str] = Counter()
        """Those of them that have no controller."""
        self._kinds: dict[str, AnyKind] = {}
        self._sizes: dict[str, Amounts] = {}

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace, none for one that was not listed."""
        return self.labels.get(namespace, {})

    def texts_of(self, namespace: str) -> NamespaceTexts:
        """Return what a namespace carries, nothing for one that was not listed."""
        return NamespaceTexts(self.labels_of(namespace), self.annotations.get(namespace, {}))

    def take(self, kind: AnyKind, item: Any, meta: TracedMeta, *, written: Callable[[], Written] = Written) -> None:
        """
        Count *item*, decoded by `traces.shape_of`, whose metadata are *meta*. It carries what is *written*.

        Raises: UncountableError for a field that cannot be read; the object is counted as one nonetheless.
        """
        if not self._counts(kind, meta):
            return
        self._trace(kind, meta)
        if isinstance(item, DaemonSet):
            self.daemon_sets.append((meta.namespace, meta.name, item.nodes))
        if not kind.is_charged:
            self._note_topmost(kind, item, meta, written, is_session=False)
            return
        try:
            amounts = kind.evaluator.usage(item, now=self.policy.counting_time(self.now))
            self._measure(kind, item, meta)
        except UncountableError:
            self._count(kind, meta, Row(meta.uid, _version(meta), NOBODY, kind.evaluator.unreadable))
            raise
        payer = read_stamp(meta) or NOBODY
        self._count(kind, meta, Row(meta.uid, _version(meta), payer, amounts, kind.evaluator.scopes(item)))
        self._note_topmost(kind, item, meta, written, is_session=any(name == SESSIONS for name, _ in amounts))

    def take_unreadable(self, kind: AnyKind, meta: TracedMeta) -> None:
        """Count an object of which nothing but *meta* can be read as one without an owner, as a replica does."""
        if not self._counts(kind, meta):
            return
        self._trace(kind, meta)
        if kind.is_charged:
            self._count(kind, meta, Row(meta.uid, _version(meta), NOBODY, kind.evaluator.unreadable))

    def objects(self) -> Iterator[CountedObject]:
        """Return all objects that cost something."""
        for resource, kind in self._kinds.items():
            for path, row in self.index.snapshot(resource).items():
                key = ObjectKey(resource, *path.split("/", 1))
                amounts = self.policy.devices.derive(row.amounts)
                yield CountedObject(kind, key, row, amounts, self._sizes.get(row.uid))

    def with_payers(self, payers: Mapping[str, Payer]) -> Census:
        """Return the same objects, those with these uids paid by *payers*."""
        paid = copy(self)
        paid.index = UsageIndex(accounts_under(self.policy, self.labels_of), self.policy.devices)
        for each in self.objects():
            payer = payers.get(each.row.uid, each.row.payer)
            paid.index.observe(each.key, structs.replace(each.row, payer=payer))
        return paid

    def _counts(self, kind: AnyKind, meta: TracedMeta) -> bool:
        return meta.namespace not in self.exempt and not kind.evaluator.is_excepted(meta, None)

    def _count(self, kind: AnyKind, meta: TracedMeta, row: Row) -> None:
        self._kinds[kind.resource] = kind
        self.index.observe(ObjectKey(kind.resource, meta.namespace, meta.name), row)

    def _trace(self, kind: AnyKind, meta: TracedMeta) -> None:
        if not kind.makers and kind.cap != PER_SESSION:  # neither a pod nor a workload nor a session
            return
        payer, controller = read_stamp(meta), meta.controller
        self.links[meta.uid] = Link(kind.resource, kind.kind, meta.namespace, meta.name, controller, payer)
        self.written.update(meta.writers)
        if controller is None:
            self.written_topmost.update(meta.writers)

    def _measure(self, kind: AnyKind, item: Any, meta: TracedMeta) -> None:
        """Keep what the pods of a session cost, with what the policy fills in. Raises: UncountableError."""
        if kind.cap == PER_SESSION:
            size = kind.evaluator.size(item, PodDefaults({}, self.policy.missing_defaults, self.policy.categories))
            if size is not None:
                self._sizes[meta.uid] = (*self.policy.devices.derive(size.amounts), *size.times.asked)

    def _note_topmost(
        self, kind: AnyKind, item: Any, meta: TracedMeta, written: Callable[[], Written], *, is_session: bool
    ) -> None:
        is_acted_on = any(each.acts_on(kind.resource) for each in self.policy.delegates.values())
        is_owned = (read_stamp(meta) or NOBODY).owner != UNATTRIBUTED
        if not (is_acted_on or is_session) or meta.controller is not None or is_owned:
            return
        carried = written()
        namespace = self.texts_of(meta.namespace)
        texts = Texts(
            meta.namespace, namespace.labels, namespace.annotations, carried.labels or {}, carried.annotations or {}
        )
        said: tuple[str, str] | UncountableError | None
        try:
            said = kind.evaluator.user_of(item, texts)
        except UncountableError as error:
            said = error
        slim = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid)
        self.topmost.append(Topmost(kind, slim, carried, said, is_session))


def _version(meta: TracedMeta) -> int:
    """Return the version of an object, 1 where it is no number: nothing is compared with it here."""
    return int(meta.resource_version) if meta.resource_version.isdecimal() else 1
