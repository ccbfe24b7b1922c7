import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.kubeconfigs import connected, with_user
from tests.proxy import Proxy
from webhook.kube.api import AlreadyExistsError, KubernetesApi, UnauthorizedError
from webhook.kube.reflector import Cause, Reflector, Undecodable

OURS = {"labelSelector": "test=reflector"}


class Meta(msgspec.Struct, rename="camel", frozen=True):
    name: str
    uid: str
    resource_version: str


class ConfigMap(msgspec.Struct, frozen=True):
    metadata: Meta
    data: dict[str, str] = {}


class Recorder:
    """A sink that records its calls, and keeps the set that follows from them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.current: dict[str, ConfigMap] = {}
        self.version = 0
        self._listed: dict[str, ConfigMap] | None = None
        self._changed = asyncio.Event()

    @property
    def names(self) -> set[str]:
        return {item.metadata.name for item in self.current.values()}

    def started(self) -> None:
        self._listed = {}
        self._tell("started")

    def seen(self, item: ConfigMap) -> None:
        target = self.current if self._listed is None else self._listed
        target[item.metadata.uid] = item
        self._tell(f"seen {item.metadata.name}")

    def gone(self, item: ConfigMap) -> None:
        self.current.pop(item.metadata.uid, None)
        if self._listed is not None:
            self._listed.pop(item.metadata.uid, None)
        self._tell(f"gone {item.metadata.name}")

    def synced(self, resource_version: int) -> None:
        assert self._listed is not None
        self.current, self._listed = self._listed, None
        self.version = resource_version
        self._tell("synced")

    def reached(self, resource_version: int) -> None:
        assert self._listed is None
        assert resource_version >= self.version
        self.version = resource_version
        self._changed.set()

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _tell(self, what: str) -> None:
        self.calls.append(what)
        self._changed.set()


class Following:
    """A reflector of our ConfigMaps at work, its sink, and why it started again."""

    def __init__(
        self, api: KubernetesApi, path: str, item_type: type[ConfigMap] = ConfigMap, **options: object
    ) -> None:
        self.sink = Recorder()
        self.restarts: list[Cause] = []
        self._restarted = asyncio.Event()
        self.misfits: list[Undecodable] = []
        arguments = {"query": OURS, "silence_seconds": 60.0, **options}
        self.reflector = Reflector(
            api,
            path,
            item_type,
            self.sink,
            resource="configmaps",
            on_restart=self._restart,
            undecodable=self.misfits.append,
            **arguments,  # type: ignore[arg-type]
        )

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30) -> None:
        await self.sink.until(condition, seconds=seconds)

    async def until_restarted(self, times: int) -> None:
        async with asyncio.timeout(30):
            while len(self.restarts) < times:
                self._restarted.clear()
                await self._restarted.wait()

    def _restart(self, cause: Cause) -> None:
        self.restarts.append(cause)
        self._restarted.set()

    @property
    def lists(self) -> int:
        return self.sink.calls.count("started")


@asynccontextmanager
async def following(
    api: KubernetesApi, path: str, item_type: type[ConfigMap] = ConfigMap, **options: object
) -> AsyncIterator[Following]:
    """Follow until the end of the block; whatever the reflector raised is raised there."""
    follower = Following(api, path, item_type, **options)
    task = asyncio.create_task(follower.reflector.run())
    synced = asyncio.create_task(follower.until(lambda: follower.reflector.synced))
    try:
        await asyncio.wait({task, synced}, return_when=asyncio.FIRST_COMPLETED)
        yield follower
    finally:
        synced.cancel()
        task.cancel()
        await asyncio.gather(synced, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def proxied(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    """A client for the reflector alone, so that a test can break its connections and no others."""
    async with connected(proxy.kubeconfig(control_plane.kubeconfig(), tmp_path)) as client:
        yield client


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def config_map(name: str, *, size: int = 0, data: Mapping[str, str] | None = None) -> bytes:
    metadata = {"name": name, "labels": {"test": "reflector"}, "annotations": {"padding": "x" * size}}
    return json.dumps({"metadata": metadata, "data": dict(data or {})}).encode()


async def create_many(api: KubernetesApi, path: str, names: list[str]) -> None:
    waiting = iter(names)

    async def work() -> None:
        for name in waiting:
            await api.create(path, config_map(name), timeout=60)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(work())


async def test_lists_what_is_there_and_follows_every_change_in_order(api: KubernetesApi, path: str) -> None:
    for name in "abc":
        await api.create(path, config_map(name))

    async with following(api, path) as follower:
        listed = list(follower.sink.calls)
        await api.create(path, config_map("d"))
        await api.patch(f"{path}/a", b'{"data":{"k":"v"}}', content_type="application/merge-patch+json")
        await api.delete(f"{path}/b")
        await api.create(path, config_map("b"))
        await follower.until(lambda: len(follower.sink.calls) >= len(listed) + 4)

    assert sorted(listed[1:-1]) == ["seen a", "seen b", "seen c"]
    assert (listed[0], listed[-1]) == ("started", "synced")
    assert follower.sink.calls[len(listed) :] == ["seen d", "seen a", "gone b", "seen b"]
    assert {item.metadata.name: item.data for item in follower.sink.current.values()} == {
        "a": {"k": "v"},
        "b": {},
        "c": {},
        "d": {},
    }
    assert follower.restarts == []


async def test_the_version_that_was_reached_is_reported(api: KubernetesApi, path: str) -> None:
    """A deletion has a version of its own, which is not that of the object's last change."""
    async with following(api, path) as follower:
        created = json.loads(await api.create(path, config_map("a")))
        version = int(created["metadata"]["resourceVersion"])
        await follower.until(lambda: follower.sink.version >= version)
        assert follower.sink.names == {"a"}
        assert follower.sink.version == version

        await api.delete(f"{path}/a")
        await follower.until(lambda: not follower.sink.current)
        assert follower.sink.version > version


async def test_an_object_that_leaves_the_selection_is_gone(api: KubernetesApi, path: str) -> None:
    await api.create(path, config_map("a"))

    async with following(api, path) as follower:
        patch = b'{"metadata":{"labels":{"test":null}}}'
        await api.patch(f"{path}/a", patch, content_type="application/merge-patch+json")
        await follower.until(lambda: not follower.sink.current)

    assert follower.sink.calls[-1] == "gone a"


async def test_is_synced_and_heard_only_after_the_list(api: KubernetesApi, path: str) -> None:
    follower = Following(api, path)
    assert not follower.reflector.synced
    assert follower.reflector.last_answer_at == float("-inf")

    before = time.monotonic()
    async with following(api, path) as follower:
        assert follower.reflector.synced
        assert before < follower.reflector.last_answer_at <= time.monotonic()


async def test_metadata_alone_can_be_followed(api: KubernetesApi, path: str) -> None:
    await api.create(path, config_map("a", data={"k": "v"}))

    form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    async with following(api, path, accept=form) as follower:
        await api.create(path, config_map("b", data={"k": "v"}))
        await follower.until(lambda: "b" in follower.sink.names)

    assert [item.data for item in follower.sink.current.values()] == [{}, {}]


async def test_a_watch_that_ends_as_it_should_is_followed_by_another_without_a_list(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path, watch_seconds=1.0, jitter=lambda: 0.0) as follower:
        for number in range(5):
            await asyncio.sleep(0.7)
            await api.create(path, config_map(f"c-{number}"))
        await follower.until(lambda: len(follower.sink.current) == 5)

    assert follower.sink.calls == ["started", "synced", *(f"seen c-{number}" for number in range(5))]
    assert follower.restarts == []


async def test_a_long_list_leaves_room_for_others(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    await create_many(api, path, [f"c-{number}" for number in range(600)])
    proxy.stalls_after = 10_000
    follower = Following(proxied, path)
    longest = 0

    async def other_work() -> None:
        nonlocal longest
        before = 0
        while True:
            await asyncio.sleep(0.0)
            now = len(follower.sink.calls)
            longest, before = max(longest, now - before), now

    tasks = [asyncio.create_task(follower.reflector.run()), asyncio.create_task(other_work())]
    await asyncio.sleep(1)
    proxy.flow()  # now the rest comes in one burst
    await follower.until(lambda: follower.reflector.synced)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert len(follower.sink.current) == 600
    assert longest <= 201  # one more for ``started``


# Faults of the network


async def test_a_cut_watch_is_resumed_without_a_list(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path) as follower:
        await api.create(path, config_map("before"))
        await follower.until(lambda: "before" in follower.sink.names)
        proxy.cut()
        await api.create(path, config_map("after"))
        await follower.until(lambda: "after" in follower.sink.names)

    assert follower.restarts == ["cut"]
    assert follower.lists == 1
    assert proxy.accepted == 2


async def test_a_deletion_while_cut_off_is_noticed(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    await api.create(path, config_map("a"))
    await api.create(path, config_map("b"))
    async with following(proxied, path) as follower:
        proxy.is_refusing = True
        proxy.cut()
        await api.delete(f"{path}/a")
        await api.create(path, config_map("a"))
        await api.delete(f"{path}/b")
        await asyncio.sleep(0.5)
        proxy.is_refusing = False
        await follower.until(lambda: follower.sink.names == {"a"} and "gone b" in follower.sink.calls)

    assert follower.sink.calls[-3:] == ["gone a", "seen a", "gone b"]
    assert set(follower.restarts) == {"cut"}
    assert follower.lists == 1


async def test_a_stalled_watch_is_noticed_and_resumed_without_a_list(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path, silence_seconds=2.0) as follower:
        await api.create(path, config_map("before"))
        await follower.until(lambda: "before" in follower.sink.names)
        proxy.stall()
        stalled_at = time.monotonic()
        await api.create(path, config_map("after"))
        await follower.until(lambda: "after" in follower.sink.names)
        noticed_after = time.monotonic() - stalled_at

    assert 1 < noticed_after < 10
    assert set(follower.restarts) == {"stalled"}
    assert follower.lists == 1


async def test_a_slow_network_only_delays(api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str) -> None:
    proxy.latency = 0.3
    async with following(proxied, path) as follower:
        for name in "abc":
            await api.create(path, config_map(name))
        await follower.until(lambda: follower.sink.names == set("abc"))

    assert follower.sink.calls == ["started", "synced", "seen a", "seen b", "seen c"]
    assert follower.restarts == []


async def test_initial_events_that_do_not_end_are_listed_page_by_page(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    for number in range(10):
        await api.create(path, config_map(f"c-{number}", size=20_000))
    proxy.stalls_after = 100_000  # in the middle of the initial events

    async with following(proxied, path, initial_events_seconds=1.0) as follower:
        await api.create(path, config_map("after"))
        await follower.until(lambda: "after" in follower.sink.names)

    assert len(follower.sink.current) == 11
    assert follower.lists == 2
    assert follower.restarts == ["cut"]


async def test_a_list_that_is_cut_begins_again(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    for number in range(10):
        await api.create(path, config_map(f"c-{number}", size=20_000))
    proxy.stalls_after = 100_000

    async with asyncio.timeout(60):
        follower = Following(proxied, path)
        run = asyncio.create_task(follower.reflector.run())
        await follower.until(lambda: len(follower.sink.calls) > 1)
        assert not follower.reflector.synced
        proxy.stalls_after = None
        proxy.cut()
        await follower.until(lambda: follower.reflector.synced)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    assert len(follower.sink.current) == 10
    assert follower.lists == 2


# Rights and misfits


async def test_a_missing_right_is_waited_for(control_plane: ControlPlane) -> None:
    rule = ["--verb=list,watch", "--resource=leases.coordination.k8s.io"]
    path = "/apis/coordination.k8s.io/v1/leases"
    async with connected(control_plane.kubeconfig("bob")) as bob:
        follower = Following(bob, path, query={})
        run = asyncio.create_task(follower.reflector.run())
        await follower.until_restarted(2)
        assert not follower.reflector.synced
        control_plane.kubectl("create", "clusterrole", "reflector-test", *rule)
        control_plane.kubectl(
            "create", "clusterrolebinding", "reflector-test", "--clusterrole=reflector-test", "--user=bob"
        )
        await follower.until(lambda: follower.reflector.synced)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    assert set(follower.restarts) == {"error"}


async def test_credentials_that_stay_refused_are_raised(control_plane: ControlPlane, path: str, tmp_path: Path) -> None:
    async with connected(with_user(control_plane.kubeconfig(), tmp_path, {"token": "wrong"})) as stranger:
        follower = Following(stranger, path)
        with pytest.raises(UnauthorizedError):
            await asyncio.wait_for(follower.reflector.run(), 60)

    assert follower.restarts == ["error"] * 4


class Counts(msgspec.Struct, frozen=True):
    """Fits a ConfigMap only if its data has no ``k``."""

    k: int = 0


class Numbered(ConfigMap, frozen=True):
    data: Counts = Counts()  # type: ignore[assignment]


async def test_an_object_that_does_not_fit_is_reported_and_the_others_are_followed(
    api: KubernetesApi, path: str
) -> None:
    await api.create(path, config_map("odd", data={"k": "v"}))
    await api.create(path, config_map("even"))

    async with following(api, path, item_type=Numbered) as follower:
        await api.delete(f"{path}/odd")
        await api.create(path, config_map("later"))
        await follower.until(lambda: "later" in follower.sink.names)

    assert follower.sink.names == {"even", "later"}
    assert [(misfit.name, misfit.is_gone) for misfit in follower.misfits] == [("odd", False), ("odd", True)]
    assert {misfit.problem for misfit in follower.misfits} == {"Expected `int`, got `str` - at `$.object.data.k`"}
    assert len({misfit.uid for misfit in follower.misfits}) == 1
    assert follower.restarts == []


# A control plane of our own, to be mistreated: the second server cannot list by a watch


@pytest.fixture(scope="module")
def ours(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("reflector") / "run"
    flags = {"kube-apiserver-2": ["--feature-gates=WatchList=false"]}
    with ControlPlane(folder, binaries, options=Options(servers=2, flags=flags)) as plane:
        yield plane
    shutil.rmtree(folder / "etcd")


EVERYWHERE = "/api/v1/configmaps"
DEFAULT = "/api/v1/namespaces/default/configmaps"


async def test_a_server_that_cannot_list_by_a_watch_is_listed_page_by_page(ours: ControlPlane) -> None:
    names = [f"paged-{number}" for number in range(1_050)]
    async with connected(ours.kubeconfig(server=2)) as api:
        await create_many(api, DEFAULT, names)
        async with following(api, EVERYWHERE) as follower:
            assert follower.sink.calls.count("synced") == 1
            assert follower.sink.names >= set(names)
            await api.delete(f"{DEFAULT}/paged-7")
            await follower.until(lambda: "paged-7" not in follower.sink.names)

    assert follower.restarts == []


async def test_a_misfit_in_a_page_is_reported_too(ours: ControlPlane) -> None:
    async with connected(ours.kubeconfig(server=2)) as api:
        await api.create(DEFAULT, config_map("odd", data={"k": "v"}))
        async with following(api, EVERYWHERE, item_type=Numbered) as follower:
            await api.create(DEFAULT, config_map("even"))
            await follower.until(lambda: "even" in follower.sink.names)
        await api.delete(f"{DEFAULT}/odd")

    assert [misfit.name for misfit in follower.misfits] == ["odd"]
    assert "odd" not in follower.sink.names


async def test_a_version_that_has_expired_is_listed_again_and_what_went_meanwhile_is_gone(ours: ControlPlane) -> None:
    """A restarted API server remembers no version older than its start."""
    async with connected(ours.kubeconfig(server=1)) as api, connected(ours.kubeconfig(server=2)) as other:
        for name in ("stays", "goes", "comes-back"):
            await other.create(DEFAULT, config_map(name))
        async with following(api, EVERYWHERE) as follower:
            await follower.until(lambda: {"stays", "goes", "comes-back"} <= follower.sink.names)
            uid = uid_of("comes-back", follower)
            ours.processes["kube-apiserver-1"].send(signal.SIGKILL)
            await other.delete(f"{DEFAULT}/goes")
            await other.delete(f"{DEFAULT}/comes-back")
            await other.create(DEFAULT, config_map("comes-back"))
            await other.create(DEFAULT, config_map("new"))
            ours.restart("kube-apiserver-1")  # in this thread: the kernel ends processes together with their thread
            await follower.until(lambda: follower.sink.calls.count("synced") == 2)

            assert "goes" not in follower.sink.names
            assert {"stays", "comes-back", "new"} <= follower.sink.names
            assert uid_of("comes-back", follower) != uid
            assert "gone goes" not in follower.sink.calls  # its deletion was not seen: it is missing from the list
            assert follower.restarts.count("expired") == 1
            assert set(follower.restarts) <= {"cut", "expired", "error"}


def uid_of(name: str, follower: Following) -> str:
    return next(uid for uid, item in follower.sink.current.items() if item.metadata.name == name)


async def test_a_store_that_went_back_in_time_is_listed_again(ours: ControlPlane) -> None:
    """As after a restore from a backup: a watch from a version that is yet to come would stay silent for ever."""
    async with connected(ours.kubeconfig(server=1)) as api:
        await create_many(api, DEFAULT, [f"lost-{number}" for number in range(500)])
        async with following(api, EVERYWHERE, silence_seconds=3.0) as follower:
            reached = follower.sink.version
            lose_everything(ours)
            async with connected(ours.kubeconfig(server=1)) as anew:
                await anew.create(DEFAULT, config_map("found"), timeout=30)
            await follower.until(lambda: "found" in follower.sink.names, seconds=60)

            assert follower.sink.names == {"found"}
            assert follower.sink.version < reached
            assert "expired" in follower.restarts


def lose_everything(plane: ControlPlane) -> None:
    for name in ("kube-apiserver-1", "kube-apiserver-2", "etcd"):
        plane.processes[name].kill()
    shutil.rmtree(plane.data_dir / "etcd")
    for name in ("etcd", "kube-apiserver-1", "kube-apiserver-2"):
        plane.restart(name)


# A measurement


@pytest.mark.skipif("USERQUOTA_MEASURE" not in os.environ, reason="takes a minute: set USERQUOTA_MEASURE=1, and -s")
async def test_measure_the_list_of_10_000_pods(ours: ControlPlane) -> None:
    pods = "/api/v1/namespaces/default/pods"
    async with connected(ours.kubeconfig()) as api, connected(ours.kubeconfig(server=2)) as paged:
        await create_pods(api, pods, 10_000)
        for how, client in (("by a watch", api), ("page by page", paged)) * 3:
            started, cpu = time.perf_counter(), time.process_time()
            async with following(client, pods, query={}) as follower:
                seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
                assert len(follower.sink.current) == 10_000
            print(f"listed {how}: {seconds:.2f} s, {cpu / 10_000 * 1e6:.1f} us of CPU per pod")  # noqa: T201


async def create_pods(api: KubernetesApi, path: str, count: int) -> None:
    environment = [{"name": f"VARIABLE_{number}", "value": "v" * 20} for number in range(40)]
    requests = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    container = {"name": "c", "image": "image:1", "resources": requests, "env": environment}
    waiting = iter(range(count))

    async def work() -> None:
        for number in waiting:
            pod = {"metadata": {"name": f"p-{number}"}, "spec": {"containers": [container]}}
            try:
                await api.create(path, json.dumps(pod).encode(), timeout=60)
            except AlreadyExistsError:
                continue

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(work())


async def test_lists_again_when_it_is_asked_to_and_follows_on(api: KubernetesApi, path: str) -> None:
    await api.create(path, config_map("a"))
    async with following(api, path) as follower:
        follower.reflector.relist()
        await asyncio.sleep(0)
        follower.reflector.relist()  # the watch is ending
        await follower.until(lambda: follower.sink.calls.count("synced") == 2)
        await api.create(path, config_map("b"))
        await follower.until(lambda: follower.sink.names == {"a", "b"})

    assert follower.sink.calls == ["started", "seen a", "synced"] * 2 + ["seen b"]
    assert follower.restarts == []


async def test_a_list_that_is_under_way_is_enough(
    api: KubernetesApi, proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path) as follower:
        follower.reflector.relist()
        await follower.until(lambda: follower.lists == 2)
        follower.reflector.relist()
        assert follower.sink.calls[-1] == "started"
        await follower.until(lambda: follower.sink.calls.count("synced") == 2)
        proxy.cut()
        await follower.until_restarted(1)
        await api.create(path, config_map("a"))
        await follower.until(lambda: "seen a" in follower.sink.calls)

    assert follower.lists == 2


async def test_a_list_that_is_under_way_begins_again_if_it_has_to_be_new(
    proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    """What the sink leaves out has changed: what this list has shown already was chosen by the old rule."""
    async with following(proxied, path) as follower:
        follower.reflector.relist()
        await follower.until(lambda: follower.lists == 2)
        assert follower.sink.calls[-1] == "started"
        follower.reflector.relist(anew=True)
        await follower.until(lambda: follower.lists == 3)
        await follower.until(lambda: follower.sink.calls[-1] == "synced")

    assert follower.restarts == []


async def test_asked_to_list_while_there_is_no_connection_it_does_so_once_there_is(
    proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path) as follower:
        proxy.is_refusing = True
        proxy.cut()
        await follower.until_restarted(1)
        follower.reflector.relist()
        proxy.is_refusing = False
        await follower.until(lambda: follower.sink.calls.count("synced") == 2)

    assert set(follower.restarts) == {"cut"}


async def test_asked_to_list_while_the_watch_is_being_opened_it_does_so_at_once(
    proxied: KubernetesApi, proxy: Proxy, path: str
) -> None:
    async with following(proxied, path) as follower:
        proxy.latency = 0.2
        proxy.cut()
        await follower.until_restarted(1)
        await asyncio.sleep(0.2)  # the pause is 0.1 s at most; a connection takes four times the latency
        follower.reflector.relist()
        assert follower.lists == 1
        await follower.until(lambda: follower.lists == 2, seconds=5)
        await follower.until(lambda: follower.sink.calls.count("synced") == 2)

    assert follower.restarts == ["cut"]
