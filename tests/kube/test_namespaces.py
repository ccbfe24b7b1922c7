"""The labels of namespaces: from the watch, and live for a namespace that the watch has not shown yet."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from localcluster.controlplane import ControlPlane
from tests.kube.scripted import server, stream
from tests.kubeconfigs import kubeconfig, written
from webhook.kube.api import KubernetesApi
from webhook.kube.namespaces import LabelledMeta, Namespace, NamespaceLabels
from webhook.ports import UnavailableError

RESEARCH, SALES = {"team": "research"}, {"team": "sales"}
KEY = "team"


class Stage:
    """The labels, and the names of the namespaces whose change was reported."""

    def __init__(self, api: KubernetesApi) -> None:
        self.api = api
        self.changes: list[str] = []
        self.namespaces = NamespaceLabels(api, on_change=self.changes.append)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Live reads fail: nothing listens on port 1."""
    api = await KubernetesApi.connect(kubeconfig=written(kubeconfig(), tmp_path))
    yield Stage(api)
    await api.close()


@pytest.fixture
async def live(control_plane: ControlPlane) -> AsyncIterator[Stage]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield Stage(api)
    await api.close()


def namespace_of(name: str, labels: dict[str, str] | None, version: int = 5) -> Namespace:
    return Namespace(LabelledMeta(name, str(version), labels))


# The watch.


async def test_what_was_seen_is_known_and_not_read(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH))

    assert await stage.namespaces.labels("red") == stage.namespaces.known("red") == RESEARCH


async def test_a_namespace_without_labels_is_known_too(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", None))

    assert await stage.namespaces.labels("red") == {}


async def test_every_change_of_labels_is_reported_with_the_name_and_nothing_else_is(stage: Stage) -> None:
    counts = []
    stage.namespaces.seen(namespace_of("blue", None, 1))
    for version, labels in enumerate((RESEARCH, RESEARCH, SALES, {}, None, RESEARCH), start=2):
        stage.namespaces.seen(namespace_of("red", labels, version))
        counts.append(len(stage.changes))

    assert counts == [1, 1, 2, 3, 3, 4]
    assert set(stage.changes) == {"red"}


async def test_a_namespace_that_is_gone_is_not_known_any_more(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH, 5))
    stage.namespaces.gone(namespace_of("red", RESEARCH, 6))

    assert stage.namespaces.known("red") == {}
    assert stage.changes == ["red", "red"]
    with pytest.raises(UnavailableError):
        await stage.namespaces.labels("red")


async def test_a_namespace_that_is_made_anew_without_labels_has_none(stage: Stage) -> None:
    """Accounts that were worked out by the labels of the one before are worked out anew."""
    stage.namespaces.seen(namespace_of("red", RESEARCH, 5))
    stage.namespaces.gone(namespace_of("red", RESEARCH, 6))
    stage.namespaces.seen(namespace_of("red", None, 7))

    assert stage.namespaces.known("red") == {}
    assert stage.changes[1:] == ["red"]


async def test_a_list_forgets_what_it_does_not_show(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH))

    stage.namespaces.started()
    stage.namespaces.seen(namespace_of("blue", SALES))
    assert stage.namespaces.known("red") == RESEARCH  # until the list is complete
    stage.namespaces.synced(9)

    assert (stage.namespaces.known("red"), stage.namespaces.known("blue")) == ({}, SALES)
    assert stage.changes == ["red", "blue", "red"]


async def test_a_list_that_is_older_than_a_namespace_does_not_forget_it(stage: Stage) -> None:
    stage.namespaces.started()
    stage.namespaces.seen(namespace_of("red", RESEARCH, 12))
    stage.namespaces.started()
    stage.namespaces.synced(9)

    assert stage.namespaces.known("red") == RESEARCH


@pytest.mark.parametrize("version", [4, 5])
async def test_what_is_not_newer_than_what_is_known_changes_nothing(stage: Stage, version: int) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH, 5))
    stage.namespaces.seen(namespace_of("red", SALES, version))
    stage.namespaces.gone(namespace_of("red", SALES, 4))

    assert stage.namespaces.known("red") == RESEARCH
    assert stage.changes == ["red"]


# Live reads.


async def test_a_namespace_that_is_not_known_and_cannot_be_read_is_unavailable(stage: Stage) -> None:
    with pytest.raises(UnavailableError, match="namespace red could not be read") as raised:
        await stage.namespaces.labels("red")

    assert raised.value.reason == "api-server"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"metadata": {"resourceVersion": "5", "labels": "none"}}',
        b'{"metadata": {"resourceVersion": "new"}}',
        b"{}",
        b'{"metadata": {"name": "\xff"}}',
    ],
)
async def test_an_answer_that_is_no_namespace_is_unavailable(tmp_path: Path, body: bytes) -> None:
    async with server([stream(body)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match="namespace red could not be read: the answer is no") as raised:
            await NamespaceLabels(api, on_change=lambda _: None).labels("red")

    assert raised.value.reason == "api-server"


async def test_a_namespace_that_the_watch_has_not_shown_is_read_once(
    live: Stage, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("label", "namespace", namespace, "team=research")

    labels = await live.namespaces.labels(namespace)
    control_plane.kubectl("label", "namespace", namespace, "team=sales", "--overwrite")

    assert labels["team"] == "research"
    assert await live.namespaces.labels(namespace) is labels  # the watch shows what changes
    assert live.changes == [namespace]


async def test_a_namespace_that_does_not_exist_is_unavailable(live: Stage) -> None:
    with pytest.raises(UnavailableError, match="namespace nowhere is not there") as raised:
        await live.namespaces.labels("nowhere")

    assert raised.value.reason == "namespace"


async def test_a_namespace_is_being_deleted_from_the_moment_it_is_and_when_it_is_gone(
    live: Stage, control_plane: ControlPlane
) -> None:
    name = f"ends-{secrets.token_hex(4)}"
    assert await live.namespaces.is_being_deleted(name)
    control_plane.create_namespace(name)
    assert not await live.namespaces.is_being_deleted(name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
    assert await live.namespaces.is_being_deleted(name)


async def test_a_namespace_whose_deletion_the_watch_has_shown_is_not_read(stage: Stage) -> None:
    stage.namespaces.seen(Namespace(LabelledMeta("red", "6", deletion_timestamp="2027-01-31T00:00:00Z")))
    assert await stage.namespaces.is_being_deleted("red")
    stage.namespaces.seen(namespace_of("red", None, version=7))
    with pytest.raises(UnavailableError):
        await stage.namespaces.is_being_deleted("red")


async def test_whether_a_namespace_is_being_deleted_is_unknown_without_an_answer(stage: Stage) -> None:
    with pytest.raises(UnavailableError, match="namespace red could not be read"):
        await stage.namespaces.is_being_deleted("red")


async def test_a_real_namespace_is_labelled_with_its_own_name(live: Stage, control_plane: ControlPlane) -> None:
    """By this label the exempt namespaces are left out: the API server itself writes it."""
    shown = json.loads(control_plane.kubectl("get", "namespace", "default", "--output=json").stdout)

    assert await live.namespaces.labels("default") == shown["metadata"]["labels"]
    assert shown["metadata"]["labels"]["kubernetes.io/metadata.name"] == "default"


# Live reads whose answer arrives late.


class LateApi(KubernetesApi):
    """A client whose answers arrive when `gate` is set; `has_answer` is set when one is held back."""

    gate: asyncio.Event
    has_answer: asyncio.Event

    async def get(self, *args: object, **options: object) -> bytes:
        body = await super().get(*args, **options)  # type: ignore[arg-type]
        self.has_answer.set()
        await self.gate.wait()
        return body


class LateStage:
    """The labels of one namespace, read live with an answer that is held back, while the watch goes on."""

    def __init__(self, api: LateApi, control_plane: ControlPlane, name: str) -> None:
        self._control_plane = control_plane
        self._name = name
        self.stage = Stage(api)
        self._api = api
        api.gate, api.has_answer = asyncio.Event(), asyncio.Event()

    async def read(self) -> asyncio.Task[object]:
        """Begin a read, and wait until its answer is held back."""
        self._api.has_answer.clear()
        reading = asyncio.create_task(self.labels())
        await asyncio.wait_for(self._api.has_answer.wait(), 10)
        return reading

    async def labels(self) -> object:
        labels = await self.stage.namespaces.labels(self._name)
        return labels.get(KEY)

    @property
    def known(self) -> str | None:
        return self.stage.namespaces.known(self._name).get(KEY)

    def label(self, value: str) -> Namespace:
        self._control_plane.kubectl("label", "namespace", self._name, f"{KEY}={value}", "--overwrite")
        shown = self._control_plane.kubectl("get", "namespace", self._name, "--output=json").stdout
        return msgspec.json.decode(shown, type=Namespace)

    def arrive(self) -> None:
        self._api.gate.set()


@pytest.fixture
async def late(control_plane: ControlPlane, namespace: str) -> AsyncIterator[LateStage]:
    api = await LateApi.connect(kubeconfig=control_plane.kubeconfig())
    yield LateStage(api, control_plane, namespace)
    await api.close()


async def test_an_answer_that_arrives_late_does_not_hide_newer_labels_of_the_watch(late: LateStage) -> None:
    late.label("sales")
    reading = await late.read()
    late.stage.namespaces.seen(late.label("research"))
    late.arrive()

    assert await reading == "research"
    assert late.known == "research"


async def test_an_answer_that_is_newer_than_the_watch_stays_when_the_watch_shows_the_older_labels(
    late: LateStage,
) -> None:
    older = late.label("sales")
    late.label("research")
    late.arrive()
    assert await late.labels() == "research"

    late.stage.namespaces.seen(older)
    late.stage.namespaces.gone(older)

    assert late.known == "research"


async def test_a_namespace_that_went_during_the_read_does_not_come_back(late: LateStage) -> None:
    gone = late.label("sales")
    reading = await late.read()
    late.stage.namespaces.gone(gone)
    late.arrive()

    with pytest.raises(UnavailableError, match="is not there"):
        await reading
    assert late.known is None


async def test_a_namespace_that_a_list_did_not_show_during_the_read_does_not_come_back(late: LateStage) -> None:
    version = int(late.label("sales").metadata.resource_version)
    reading = await late.read()
    late.stage.namespaces.started()
    late.stage.namespaces.synced(version + 1)
    late.arrive()

    with pytest.raises(UnavailableError, match="is not there"):
        await reading


async def test_a_namespace_that_is_newer_than_a_list_during_the_read_is_known(late: LateStage) -> None:
    version = int(late.label("sales").metadata.resource_version)
    reading = await late.read()
    late.stage.namespaces.started()
    late.stage.namespaces.synced(version - 1)
    late.arrive()

    assert await reading == "sales"


async def test_of_two_reads_at_once_each_remembers_what_went_during_it(late: LateStage) -> None:
    gone = late.label("sales")
    reading = await late.read()
    late.stage.namespaces.gone(gone)
    another = await late.read()
    late.arrive()

    for each in (reading, another):
        with pytest.raises(UnavailableError):
            await each


async def test_a_deletion_before_the_read_is_not_remembered(late: LateStage) -> None:
    gone = late.label("sales")
    late.stage.namespaces.gone(gone)
    late.arrive()

    assert await late.labels() == "sales"


async def test_annotations_are_known_as_labels_are_except_those_too_long_for_a_name(live: Stage) -> None:
    noted = {"owner": "alice", "edge": "x" * 253, "whole manifest": "x" * 254}
    watched = Namespace(LabelledMeta("noted", "5", None, noted))

    live.namespaces.seen(watched)

    assert await live.namespaces.annotations("noted") == {"owner": "alice", "edge": "x" * 253}
    assert "kubernetes.io/metadata.name" not in await live.namespaces.annotations("kube-system")
    with pytest.raises(UnavailableError, match="namespace nowhere is not there"):
        await live.namespaces.annotations("nowhere")


def test_a_change_of_annotations_binds_nobody_anew(stage: Stage) -> None:
    for version, owner in ((5, "alice"), (6, "bob")):
        stage.namespaces.seen(Namespace(LabelledMeta("noted", str(version), RESEARCH, {"owner": owner})))

    assert stage.changes == ["noted"]
