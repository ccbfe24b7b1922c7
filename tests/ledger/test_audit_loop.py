"""The audit of the index: when it looks, when it believes what it sees, and that a lossy watch is really repaired."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.running import eventually
from tests.fakes import FakeClock, FakeStore, by_payer
from tests.kube.test_object_list import create_pod
from tests.quota.bookings import KEY, OTHER, bind, row
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.events import EventWriter
from webhook.kube.object_list import ObjectList
from webhook.kube.object_reads import ObjectReads
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector import Reflector
from webhook.ledger.usage_audit import Kind, Listing, Suspicion, audit_forever, find_drift
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics
from webhook.wiring.audit import Audit


@dataclass
class FakeLister:
    """Port `Lister`: a list of version 9."""

    stored: dict[ObjectKey, StoredVersion] = field(default_factory=dict)

    async def listing(self, resource: str) -> Listing:
        return Listing(resource, 9, dict(self.stored))


class Pauses:
    """A sleep that takes no time; *meanwhile* something happens, in the n-th of them."""

    def __init__(self, meanwhile: dict[int, Callable[[], None]] | None = None) -> None:
        self.taken: list[float] = []
        self._meanwhile = meanwhile or {}

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self._meanwhile.get(len(self.taken), lambda: None)()
        await asyncio.sleep(0)


async def drift_of(index: UsageIndex, lister: FakeLister, store: FakeStore, pauses: Pauses) -> tuple[Suspicion, ...]:
    return await find_drift(index, "pods", lister=lister, quorum=store, sleep=pauses)


@pytest.fixture
def index() -> UsageIndex:
    """One pod, and a watch that has come to version 9."""
    made = UsageIndex(by_payer(bind))
    made.observe(KEY, row(5))
    made.reached("pods", 9)
    return made


async def test_where_both_agree_nothing_is_looked_at_twice(index: UsageIndex) -> None:
    store, pauses = FakeStore(), Pauses()
    assert await drift_of(index, FakeLister({KEY: StoredVersion("u1", 5)}), store, pauses) == ()
    assert (store.asked, pauses.taken) == ([], [])


async def test_a_suspicion_is_believed_after_a_second_look(index: UsageIndex) -> None:
    store, pauses = FakeStore(stored={OTHER: StoredVersion("u2", 6)}), Pauses()
    found = await drift_of(
        index, FakeLister({KEY: StoredVersion("u1", 5), OTHER: StoredVersion("u2", 6)}), store, pauses
    )
    assert found == (Suspicion(Kind.MISSING, OTHER, "u2", 9),)
    assert (store.asked, pauses.taken) == ([OTHER.name], [2.0])


async def test_what_was_deleted_between_list_and_look_is_no_drift(index: UsageIndex) -> None:
    found = await drift_of(
        index, FakeLister({KEY: StoredVersion("u1", 5), OTHER: StoredVersion("u2", 6)}), FakeStore(), Pauses()
    )
    assert found == ()


async def test_what_the_index_hears_while_an_answer_travels_is_no_drift(index: UsageIndex) -> None:
    class SlowStore(FakeStore):
        async def version_of(self, key: ObjectKey) -> StoredVersion | None:
            found = await super().version_of(key)
            index.forget(key, "u3", 11)
            index.reached("pods", 11)
            return found

    def hear_of_a_successor() -> None:
        index.observe(OTHER, row(10, uid="u3"))
        index.reached("pods", 10)

    lister = FakeLister({KEY: StoredVersion("u1", 5), OTHER: StoredVersion("u2", 6)})
    assert (
        await drift_of(index, lister, SlowStore({OTHER: StoredVersion("u3", 10)}), Pauses({1: hear_of_a_successor}))
        == ()
    )


async def test_on_a_quiet_cluster_the_watch_is_waited_for_until_it_tells_of_the_deletion(index: UsageIndex) -> None:
    late = UsageIndex(by_payer(bind))
    late.observe(KEY, row(5))
    late.reached("pods", 6)

    def hear_of_the_end() -> None:
        late.forget(KEY, "u1", 8)
        late.reached("pods", 9)

    pauses = Pauses({3: hear_of_the_end})
    assert await drift_of(late, FakeLister(), FakeStore(), pauses) == ()
    assert pauses.taken == [2.0, 15.0, 15.0]


async def test_on_a_quiet_cluster_a_bookmark_proves_that_the_deletion_was_missed(index: UsageIndex) -> None:
    late = UsageIndex(by_payer(bind))
    late.observe(KEY, row(5))
    late.reached("pods", 6)
    pauses = Pauses({4: lambda: late.reached("pods", 9)})

    assert await drift_of(late, FakeLister(), FakeStore(), pauses) == (Suspicion(Kind.PHANTOM, KEY, "u1", 9),)
    assert len(pauses.taken) == 4


async def test_a_watch_that_does_not_move_leaves_it_open_and_is_not_waited_for_forever(index: UsageIndex) -> None:
    late = UsageIndex(by_payer(bind))
    late.observe(KEY, row(5))
    late.reached("pods", 6)
    pauses = Pauses()

    assert await drift_of(late, FakeLister(), FakeStore(), pauses) == ()
    assert sum(pauses.taken) == 152


async def test_no_more_than_two_hundred_names_are_read_again(index: UsageIndex) -> None:
    stored = {OTHER._replace(name=f"p{number}"): StoredVersion("u2", 6) for number in range(300)}
    store = FakeStore()
    await drift_of(index, FakeLister({KEY: StoredVersion("u1", 5), **stored}), store, Pauses())
    assert len(store.asked) == 200


async def test_audits_come_every_ten_minutes_or_so_and_trouble_does_not_end_them() -> None:
    audits, troubles = list[int](), list[str]()

    async def audit() -> None:
        audits.append(len(audits))
        if len(audits) == 1:
            raise UnavailableError("api-server", "no answer")
        if len(audits) == 3:
            raise asyncio.CancelledError

    pauses, chances = Pauses(), iter([0.0, 0.5, 1.0])
    with pytest.raises(asyncio.CancelledError):
        await audit_forever(
            audit, on_trouble=lambda error: troubles.append(error.reason), sleep=pauses, jitter=lambda: next(chances)
        )

    assert pauses.taken == [450, 600, 750]
    assert (len(audits), troubles) == (3, ["api-server"])


class LossySink(ObjectSink[Pod]):
    """Loses what it is told of the pods that a test names: a defect that no watch recovers from by itself."""

    losing: frozenset[str] = frozenset()

    def seen(self, item: Pod) -> None:
        if item.metadata.name not in self.losing:
            super().seen(item)

    def gone(self, item: Pod) -> None:
        if item.metadata.name not in self.losing:
            super().gone(item)


def _hear_of_nothing(reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
    """Nothing is in flight."""


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110 - what happens tells nobody
            await asyncio.sleep(0.02)


@dataclass
class Audited:
    """An index kept by a lossy sink on a real API server, and its audit."""

    api: KubernetesApi
    control_plane: ControlPlane
    namespace: str

    def __post_init__(self) -> None:
        self.index = UsageIndex(by_payer(bind))
        self.sink = LossySink(
            PODS,
            self.index,
            exempt=frozenset(),
            now=lambda: None,
            on_settled=_hear_of_nothing,
            on_reached=lambda: None,
            on_uncountable=lambda: None,
        )
        self.reflector = Reflector(self.api, "/api/v1/pods", Pod, self.sink, resource="pods")
        self.metrics = Metrics(dict)
        self.events = EventWriter(self.api, namespace=self.namespace, clock=FakeClock())
        self.audit = Audit(
            self.index,
            [each.resource for each in KINDS.charged],
            ObjectList(self.api, kinds=KINDS, exempt=()),
            ObjectReads(self.api, KINDS),
            lambda _: self.reflector.relist(),
            self.metrics,
            self.events,
            asyncio.sleep,
        )

    def names(self) -> set[str]:
        here = f"{self.namespace}/"
        return {key.removeprefix(here) for key in self.index.snapshot("pods") if key.startswith(here)}

    def create(self, name: str) -> int:
        made = create_pod(self.control_plane, self.namespace, name, {})
        return int(made["metadata"]["resourceVersion"])

    def delete(self, name: str) -> None:
        self.control_plane.kubectl("delete", "pod", name, "-n", self.namespace, "--grace-period=0", "--force")

    def drift_metrics(self) -> list[str]:
        """What was counted of each kind, the missing first."""
        lines = self.metrics.render().decode().splitlines()
        return [line.split()[1] for line in lines if line.startswith("userquota_drift_total")]

    def event_messages(self) -> list[str]:
        found = self.control_plane.kubectl("get", "events", "-n", self.namespace, "-o", "json").stdout
        return [each["message"] for each in json.loads(found)["items"] if each["reason"] == "DriftRepaired"]


@pytest.fixture
async def audited(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Audited]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    made = Audited(api, control_plane, namespace)
    tasks = [asyncio.create_task(made.reflector.run()), asyncio.create_task(made.events.run())]
    await until(lambda: made.reflector.synced)
    yield made
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await api.close()


async def test_a_pod_that_the_watch_lost_is_found_told_and_brought_back(audited: Audited) -> None:
    await asyncio.to_thread(audited.create, "kept")
    audited.sink.losing = frozenset({"lost"})
    await asyncio.to_thread(audited.create, "lost")
    version = await asyncio.to_thread(audited.create, "later")
    await until(lambda: audited.index.position("pods") >= version)
    assert audited.names() == {"kept", "later"}
    audited.sink.losing = frozenset()

    await audited.audit.once()
    await until(lambda: audited.names() == {"kept", "lost", "later"})

    assert audited.drift_metrics() == ["1.0", "0.0"]
    await asyncio.to_thread(eventually, lambda: bool(audited.event_messages()))
    what = f"missing (1): {audited.namespace}/lost"
    told = f"The usage index differed from the stored objects, and all pods are listed again. {what}"
    assert await asyncio.to_thread(audited.event_messages) == [told]
    await audited.audit.once()
    assert audited.drift_metrics() == ["1.0", "0.0"]


async def test_a_pod_whose_end_the_watch_lost_is_taken_out_of_the_index(audited: Audited) -> None:
    await asyncio.to_thread(audited.create, "gone")
    await until(lambda: audited.names() == {"gone"})
    audited.sink.losing = frozenset({"gone"})
    before = audited.index.position("pods")
    await asyncio.to_thread(audited.delete, "gone")
    await until(lambda: audited.index.position("pods") > before)
    audited.sink.losing = frozenset()
    listed = await ObjectList(audited.api, kinds=KINDS, exempt=()).read(PODS)
    audited.index.reached("pods", listed.version)  # as a bookmark would, within two minutes
    assert audited.names() == {"gone"}

    await audited.audit.once()
    await until(lambda: not audited.names())

    assert audited.drift_metrics() == ["0.0", "1.0"]
