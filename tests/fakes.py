"""
Our own ports with nothing behind them but memory: a clock that tests turn, a store and owners that tests fill.

Kubernetes itself is never faked: what it really does is asked of a real API server.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from webhook.documents.kept_policy import KeptPolicy, PolicyRefusedError, StoredPolicy
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.evaluator import AnyKind
from webhook.ledger.grants import Grants
from webhook.ledger.ledger_object import StoredText, SwapConflictError
from webhook.ledger.own_grant import Moment
from webhook.ports import StoredPolicyMap, UnavailableError
from webhook.quota.capacity import NodeFacts
from webhook.quota.charged_subjects import Bind
from webhook.quota.commitments import Pool
from webhook.quota.missing import Bounds
from webhook.quota.objects import Annotations, ObjectKey, ObjectMeta, OwnerReference, StoredVersion, UserInfo
from webhook.quota.policy import Policy
from webhook.quota.resources import Amount, ResourceList
from webhook.quota.subject import Payer, Subject
from webhook.quota.usage import Holdings, UsageIndex

T = TypeVar("T")

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def by_payer(bind: Callable[[Payer, str], tuple[Subject, ...]]) -> Bind:
    """Return the binding of an index that looks at the payer only, not at scopes."""
    return lambda account, namespace: bind(account.payer, namespace)


@dataclass
class FakeClock:
    """Port `Clock`: both times stand still until a test turns them; and the time of API servers, which may stand."""

    wall: datetime = NOON
    seconds: float = 1000.0
    stood_still: float = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def api_time(self) -> float:
        return self.monotonic() - self.stood_still

    def moment(self) -> Moment:
        return Moment(self.monotonic(), self.wall.timestamp())

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


def grants_of(
    replica: str = "a", clock: FakeClock | None = None, *, charged: Sequence[str] = ("pods",), is_on: bool = False
) -> Grants:
    """Return the grants of one replica, off unless a test is about them."""
    numbers, clock = itertools.count(), clock or FakeClock()
    return Grants(
        holder=replica,
        resources=charged,
        new_token=lambda: f"{replica}-grant-{next(numbers)}",
        api_time=clock.api_time,
        now=clock.moment,
        is_on=is_on,
    )


@dataclass
class FakeStore:
    """Port `QuorumReader`: what is stored, as a test says; `trouble` makes every read fail, `asked` tells of each."""

    stored: dict[ObjectKey, StoredVersion] = field(default_factory=dict)
    trouble: str = ""
    asked: list[str] = field(default_factory=list)

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        self.asked.append(key.name)
        if self.trouble:
            raise UnavailableError("api-server", self.trouble)
        return self.stored.get(key)

    async def newest_version(self, resource: str) -> int:
        if self.trouble:
            raise UnavailableError("api-server", self.trouble)
        return max((version for key, (_, version) in self.stored.items() if key.resource == resource), default=0)


@dataclass
class FakeLedgerObject:
    """
    Port `LedgerObject`: one text, replaced by compare-and-swap.

    `trouble` makes every access fail; `loses_answers` makes the next so many swaps fail after they were made. An access
    waits for its `gate`, and takes `seconds` each way; `accesses` tells of each, successful or not.
    """

    stored: StoredText | None = None
    trouble: str = ""
    loses_answers: int = 0
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(100))
    gate: asyncio.Event | None = None
    seconds: float = 0.0
    accesses: list[str] = field(default_factory=list)

    async def read(self) -> StoredText | None:
        self.accesses.append("read")
        await self._travel("ledger-read")
        found = self.stored
        await self._return()
        return found

    async def request_turn(self, replica: str) -> StoredText | None:
        self.accesses.append("claim")
        await self._travel("ledger-write")
        if self.stored is not None:
            self.stored = replace(self.stored, version=next(self.versions), next_writer=replica)
        return self.stored

    async def create(self, text: str) -> StoredText:
        self.accesses.append("create")
        await self._travel("ledger-write")
        if self.stored is not None:
            raise SwapConflictError("it is there")
        return self.put(text)

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        self.accesses.append("swap")
        await self._travel("ledger-write")
        if self.stored is None or (self.stored.uid, self.stored.version) != (after.uid, after.version):
            await self._return()
            raise SwapConflictError("it is another one")
        made = self.put(text, writer=writer)
        await self._return()
        if self.loses_answers:
            self.loses_answers -= 1
            raise UnavailableError("ledger-write", "the connection broke")
        return made

    def put(self, text: str, *, writer: str = "") -> StoredText:
        """Store a text, as an admin's editor or another replica would."""
        version = next(self.versions)
        self.stored = StoredText(text, self.stored.uid if self.stored else f"uid-{version}", version, writer)
        return self.stored

    def delete(self) -> StoredText:
        """Delete what is stored, as an admin would; give what that was."""
        assert self.stored is not None
        deleted, self.stored = self.stored, None
        return deleted

    async def _travel(self, reason: str) -> None:
        await asyncio.sleep(self.seconds)
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble:
            raise UnavailableError(reason, self.trouble)

    async def _return(self) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)


@dataclass
class FakeOwners:
    """Port `Ancestry`: the objects that a test put there; `asked` tells which were read."""

    objects: dict[tuple[str, str, str], ObjectMeta] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    trouble: str = ""
    specs: dict[str, dict[str, object]] = field(default_factory=dict)

    def put(
        self,
        kind: str,
        name: str,
        *,
        uid: str = "",
        owner: str | None = None,
        groups: str | None = "[]",
        controller: OwnerReference | None = None,
        namespace: str = "red",
        api_version: str = "",
    ) -> OwnerReference:
        """Put an object there, stamped if there is an *owner*; give the controller reference that leads to it."""
        uid = uid or f"uid-of-{name}"
        annotations = None if owner is None else Annotations(owner=owner, groups=groups)
        references = None if controller is None else [controller]
        self.objects[kind, namespace, name] = ObjectMeta(
            name=name, namespace=namespace, uid=uid, annotations=annotations, owner_references=references
        )
        return reference(kind, name, uid=uid, api_version=api_version)

    def put_stateful_set(
        self,
        name: str,
        *templates: str,
        owner: str | None = "alice",
        replicas: int | None = None,
        start: int = 0,
        labels: Mapping[str, str] | None = None,
        template_labels: Mapping[str, str] | None = None,
        storage: str = "",
    ) -> None:
        """Put a StatefulSet there that makes claims from *templates*."""
        self.put("StatefulSet", name, owner=owner)
        spec = {"resources": {"requests": {"storage": storage}}} if storage else {}
        self.specs[name] = {
            "volumeClaimTemplates": [
                {"metadata": {"name": each, "labels": dict(template_labels or {})}, "spec": spec} for each in templates
            ],
            "replicas": replicas,
            "ordinals": {"start": start} if start else None,
            "selector": {"matchLabels": dict(labels or {})},
        }

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:
        meta = await self.read(kind, namespace, name)
        if meta is None:
            return None
        parts = {"metadata": meta, "spec": self.specs.get(name, {})}
        document = msgspec.json.encode({"apiVersion": kind.api_version, "kind": kind.kind, **parts})
        return msgspec.json.decode(document, type=shape)

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        if self.trouble:
            raise UnavailableError("api-server", self.trouble)
        self.asked.append(f"{kind.kind} {name}")
        return self.objects.get((kind.kind, namespace, name))


API_VERSIONS = {"ReplicationController": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}


def reference(kind: str, name: str, *, uid: str, controller: bool = True, api_version: str = "") -> OwnerReference:
    """Return a reference to an owner; kinds that are not listed are taken for those of the group apps."""
    version = api_version or API_VERSIONS.get(kind, "apps/v1")
    return OwnerReference(api_version=version, kind=kind, name=name, uid=uid, controller=controller)


@dataclass
class FakeCapacity:
    """Port `Capacity`: each pool has these amounts, None without nodes to ask; `error` is raised if it is set."""

    amounts: Mapping[str, Amount] | None = None
    error: UnavailableError | None = None

    def of(self, _: Pool) -> Mapping[str, Amount] | None:
        if self.error is not None:
            raise self.error
        return self.amounts


@dataclass
class FakePolicies:
    """Port `PolicySource`: the policy that a text says, or none yet."""

    policy: Policy | None

    @classmethod
    def reading(cls, text: str) -> FakePolicies:
        found = read_policy([PolicyText("policy.yaml", text)])
        assert not found.mistakes, found.mistakes
        return cls(found.policy)

    def current(self) -> Policy:
        if self.policy is None:
            raise UnavailableError("policy", "no policy is loaded yet")
        return self.policy


@dataclass
class FakeNamespaces:
    """Port `Namespaces`: the labels and annotations that a test gave; every namespace exists."""

    labels_by_name: dict[str, Mapping[str, str]] = field(default_factory=dict)
    annotations_by_name: dict[str, Mapping[str, str]] = field(default_factory=dict)

    async def labels(self, name: str) -> Mapping[str, str]:
        return self.known(name)

    async def annotations(self, name: str) -> Mapping[str, str]:
        return self.annotations_by_name.get(name, {})

    def known(self, name: str) -> Mapping[str, str]:
        return self.labels_by_name.get(name, {})


@dataclass
class FakeRights:
    """Port `HandoverRights`: the users who may hand over, each with the namespaces; `trouble` makes every call fail."""

    by_user: dict[str, tuple[str, ...]] = field(default_factory=dict)
    trouble: str = ""

    async def may_hand_over(self, user: UserInfo, namespace: str, owner: str) -> bool:  # noqa: ARG002
        if self.trouble:
            raise UnavailableError("api-server", self.trouble)
        return namespace in self.by_user.get(user.username, ())


@dataclass
class FakeLimitRanges:
    """Port `LimitRanges`: the bounds that a test gave, the same in every namespace; `reads` counts the calls."""

    known: Mapping[str, Bounds] = field(default_factory=dict)
    trouble: str = ""
    reads: int = 0

    async def bounds(self, namespace: str) -> Mapping[str, Bounds]:  # noqa: ARG002
        self.reads += 1
        if self.trouble:
            raise UnavailableError("limit-ranges", self.trouble)
        return self.known


@dataclass
class FakeClasses:
    """Port `PodClasses`: the classes that a test gave; `reads` are the calls, `trouble` makes each fail."""

    by_runtime_class: dict[str, ResourceList] = field(default_factory=dict)
    default_priority: str = ""
    trouble: str = ""
    reads: list[str] = field(default_factory=list)

    async def overheads(self) -> Mapping[str, ResourceList]:
        self._read("runtime-classes")
        return self.by_runtime_class

    async def default_priority_class(self) -> str:
        self._read("priority-classes")
        return self.default_priority

    def _read(self, what: str) -> None:
        self.reads.append(what)
        if self.trouble:
            raise UnavailableError(what, self.trouble)


@dataclass
class FakePods:
    """
    Port `PodsOfWorkloads`: every workload has the pods that a test gave, each with the claims that it gave; `asked` has
    namespace, uid and selector.
    """

    found: list[str] = field(default_factory=list)
    claims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked: list[tuple[str, str, object]] = field(default_factory=list)

    async def names(self, namespace: str, uid: str, selector: msgspec.Raw) -> tuple[str, ...]:
        self.asked.append((namespace, uid, msgspec.json.decode(selector)))
        return tuple(self.found)

    async def device_claims(self, namespace: str, pods: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(claim for pod in pods for claim in self.claims.get(pod, ()))

    async def labelled(self, namespace: str, labels: Iterable[Sequence[tuple[str, str]]]) -> tuple[str, ...]:
        self.asked.append((namespace, "", [dict(each) for each in labels]))
        return tuple(self.found)


@dataclass
class FakeNames:
    """Port `NameHolders`: the objects that a test says hold names, and resources that are not all known."""

    holders: dict[ObjectKey, StoredVersion] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    async def holder(self, key: ObjectKey) -> StoredVersion | None:
        self.require_known(key.resource)
        return self.holders.get(key)

    def require_known(self, resource: str, *, is_session: bool = False) -> None:  # noqa: ARG002
        if resource in self.unknown:
            raise UnavailableError("not-synced", f"the {resource} are not all known yet")


@dataclass
class FakeStoredPolicies:
    """Port `StoredPolicies`: what is stored, by name; nothing can be read while there is an `error`."""

    stored: dict[str, StoredPolicyMap] = field(default_factory=dict)
    error: UnavailableError | None = None

    async def version_of(self, name: str) -> StoredPolicyMap | None:
        if self.error is not None:
            raise self.error
        return self.stored.get(name)

    async def newest_version(self) -> int:
        return max((each.version for each in self.stored.values() if each.is_part), default=0)


@dataclass
class FakeUsage:
    """Port `KnownUsage`: what an index holds; `trouble` makes it unknown, `counted` are resources known beside pods.

    `asked_for` are the devices that objects ask for.
    """

    index: UsageIndex
    trouble: str = ""
    counted: set[str] = field(default_factory=lambda: {"pods"})
    asked_for: frozenset[str] = frozenset()

    known_nodes: tuple[NodeFacts, ...] | None = None

    def nodes(self) -> tuple[NodeFacts, ...] | None:
        return self.known_nodes

    def devices(self) -> frozenset[str]:
        return self.asked_for

    def holdings(self) -> Holdings:
        if self.trouble:
            raise UnavailableError("not-synced", self.trouble)
        return self.index.holdings()

    def is_counted(self, resource: str) -> bool:
        return resource in self.counted


class FakeKeptPolicyStore:
    """Holds one policy; of the writes the first `conflicts` meet that of another one. `error` is raised by reads."""

    def __init__(self, stored: StoredPolicy | None = None, *, conflicts: int = 0) -> None:
        self.stored = StoredPolicy(KeptPolicy()) if stored is None else stored
        self.conflicts = conflicts
        self.writes = 0
        self.dry_runs = 0
        self.error: Exception | None = None
        self.refusal: Exception | None = None
        self.is_judged = True

    async def read(self) -> StoredPolicy:
        if self.error is not None:
            raise self.error
        return self.stored

    async def write(
        self, content: KeptPolicy, *, after: StoredPolicy, annotations: Mapping[str, str], dry_run: bool = False
    ) -> bool:
        if self.is_judged and any(not all(each.amounts.values()) for each in content.commitments.values()):
            raise PolicyRefusedError("expected an amount above 0")
        if self.refusal is not None:
            raise self.refusal
        self.writes += not dry_run
        self.dry_runs += dry_run
        if self.conflicts:
            self.conflicts -= 1
            return False
        assert after == self.stored
        if not dry_run:
            version = str(int(after.version or "0") + 1)
            self.stored = StoredPolicy(content, {**after.annotations, **annotations}, version)
        return True
