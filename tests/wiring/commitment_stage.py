"""A store of commitments in memory that judges as the admission of edits does, what edits it, and Events of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from webhook.documents.kept_policy import KeptPolicy, PolicyRefusedError, StoredPolicy, kept_text
from webhook.documents.policy_config_map import FORCE_ANNOTATION, PolicyConfigMap, PolicyConfigMapMeta
from webhook.kube.api import ApiError
from webhook.kube.events import ConfigMapEvent
from webhook.kube.kept_policy import KEY, NAME
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.quota.subject import user
from webhook.wiring.commitment_editor import CommitmentEditor

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
A, B = Pool("h100", "a"), Pool("h100", "b")
CLASSES = "version: 1\nnodeClasses: {h100: {nodes: {matchLabels: {g: h}}, worth: {gpu: 4}}}\n"
OF_AN_ADMIN = (
    f"{CLASSES}commitments:\n"
    "  theirs: {user: carol, nodeClass: h100, zone: a, amounts: {gpu: 1}, state: pending, from: 2026-11-01T00:00:00Z}\n"
)
ADVICE = ". To do it all the same, say why in the annotation userquota.dev/force in the same edit"


def promised(name: str, gpus: int, pool: Pool = A, state: State = State.CONFIRMED, **others: object) -> Commitment:
    made = Commitment(name, user("alice"), pool, {"gpu": gpus * NANOS}, state, NOW - DAY)
    return replace(made, **others)  # type: ignore[arg-type]


def named(*listed: Commitment) -> dict[str, Commitment]:
    return {each.name: each for each in listed}


@dataclass
class Store:
    """
    Port `KeptPolicyStore`: in memory, with room for so many GPUs in each zone; `detail` is said of one that has less.
    `before_write` is called before each write, `after_write` after each one that is stored.
    """

    content: KeptPolicy = field(default_factory=KeptPolicy)
    annotations: Mapping[str, str] = field(default_factory=dict)
    room: int = 8
    detail: str = ""
    version: int = 1
    is_judged: bool = True
    before_write: Callable[[Store], None] = lambda _: None
    after_write: Callable[[], bool] = lambda: True
    writes: int = 0
    dry_runs: int = 0

    async def read(self) -> StoredPolicy:
        return StoredPolicy(self.content, self.annotations, str(self.version))

    async def write(
        self, content: KeptPolicy, *, after: StoredPolicy, annotations: Mapping[str, str], dry_run: bool = False
    ) -> bool:
        self.dry_runs += dry_run
        if not dry_run:
            self.before_write(self)
        if after.version != str(self.version):
            return False
        if self.is_judged and (why := self._refused(content, is_forced=FORCE_ANNOTATION in annotations)):
            raise PolicyRefusedError(why)
        if dry_run:
            return True
        self.put(content)
        self.annotations = {**self.annotations, **annotations}
        return self.after_write()

    def put(self, content: KeptPolicy) -> None:
        self.content, self.version, self.writes = content, self.version + 1, self.writes + 1

    def _refused(self, content: KeptPolicy, *, is_forced: bool) -> str:
        sums: dict[Pool, Amount] = {}
        for each in content.commitments.values():
            if not all(each.amounts.values()):
                return "the policy would have a mistake:\nexpected an amount above 0"
            if each.sets_aside(NOW):
                sums[each.pool] = sums.get(each.pool, 0) + each.amounts["gpu"]
        over = [pool for pool, taken in sums.items() if taken > self.room * NANOS]
        told = f"more would be promised than nodes have: {over[0]}{self.detail}" if over else ""
        return f"{told}{ADVICE}" if told and not is_forced else ""


def editor(store: Store, *texts: str) -> CommitmentEditor:
    """Return what edits *store*; *texts* are those of admins."""

    async def maps() -> Sequence[PolicyConfigMap]:
        listed = [(f"admins-{number}", "policy.yaml", text) for number, text in enumerate(texts or (CLASSES,))]
        listed.append((NAME, KEY, kept_text(store.content)))
        return [PolicyConfigMap(PolicyConfigMapMeta(name, f"uid-of-{name}"), {key: text}) for name, key, text in listed]

    async def pass_by(_: float) -> None:
        """Wait for nothing."""

    return CommitmentEditor(store, maps, clock=lambda: NOW, sleep=pass_by)


@dataclass
class StoredEvents:
    """Events as `EventWriter.tell_once` stores them; none while there is `trouble`."""

    events: list[ConfigMapEvent] = field(default_factory=list)
    trouble: ApiError | None = None

    async def tell_once(self, event: ConfigMapEvent, _: str) -> bool:
        if self.trouble is not None:
            raise self.trouble
        self.events.append(event)
        return True

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each.reason, each.message) for each in self.events]
