"""The labels of namespaces: from what a watch tells, and live for a namespace that it has not told of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import kubeconfig, written
from webhook.kube.api import KubernetesApi
from webhook.kube.namespaces import LabelledMeta, Namespace, NamespaceLabels
from webhook.ports import UnavailableError

RESEARCH, SALES = {"team": "research"}, {"team": "sales"}


class Stage:
    """The labels, and how often their change was told."""

    def __init__(self, api: KubernetesApi) -> None:
        self.changes = 0
        self.namespaces = NamespaceLabels(api, on_change=self._note)

    def _note(self) -> None:
        self.changes += 1


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """What is read live meets nobody: port 1."""
    api = await KubernetesApi.connect(kubeconfig=written(kubeconfig(), tmp_path))
    yield Stage(api)
    await api.close()


@pytest.fixture
async def live(control_plane: ControlPlane) -> AsyncIterator[Stage]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield Stage(api)
    await api.close()


def namespace_of(name: str, labels: dict[str, str] | None) -> Namespace:
    return Namespace(LabelledMeta(name, "5", labels))


async def test_what_was_seen_is_known_and_not_read(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH))

    assert await stage.namespaces.labels("red") == stage.namespaces.known("red") == RESEARCH


async def test_a_namespace_without_labels_is_known_too(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", None))

    assert await stage.namespaces.labels("red") == {}


async def test_every_change_of_labels_is_told_and_nothing_else(stage: Stage) -> None:
    told = []
    for labels in (RESEARCH, RESEARCH, SALES, {}, None, RESEARCH):
        stage.namespaces.seen(namespace_of("red", labels))
        told.append(stage.changes)

    assert told == [1, 1, 2, 3, 3, 4]


async def test_a_namespace_that_is_gone_is_not_known_any_more(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH))
    stage.namespaces.gone(namespace_of("red", RESEARCH))

    assert stage.namespaces.known("red") == {}
    with pytest.raises(UnavailableError):
        await stage.namespaces.labels("red")


async def test_a_list_forgets_what_it_does_not_show(stage: Stage) -> None:
    stage.namespaces.seen(namespace_of("red", RESEARCH))

    stage.namespaces.started()
    stage.namespaces.seen(namespace_of("blue", SALES))
    assert stage.namespaces.known("red") == RESEARCH  # until the list is whole
    stage.namespaces.synced(9)

    assert (stage.namespaces.known("red"), stage.namespaces.known("blue")) == ({}, SALES)


async def test_a_namespace_that_is_not_known_and_cannot_be_read_has_no_labels_that_we_could_guess(
    stage: Stage,
) -> None:
    with pytest.raises(UnavailableError, match="namespace red could not be read") as raised:
        await stage.namespaces.labels("red")

    assert raised.value.reason == "api-server"


async def test_a_namespace_too_young_for_the_watch_is_read_once(
    live: Stage, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("label", "namespace", namespace, "team=research")

    labels = await live.namespaces.labels(namespace)
    control_plane.kubectl("label", "namespace", namespace, "team=sales", "--overwrite")

    assert labels["team"] == "research"
    assert await live.namespaces.labels(namespace) is labels  # it is the watch that tells of changes
    assert live.changes == 1


async def test_a_namespace_that_does_not_exist_is_no_answer(live: Stage) -> None:
    with pytest.raises(UnavailableError, match="namespace nowhere is not there") as raised:
        await live.namespaces.labels("nowhere")

    assert raised.value.reason == "namespace"


async def test_a_real_namespace_tells_its_own_name(live: Stage, control_plane: ControlPlane) -> None:
    """By this label the exempt namespaces are left out: the API server itself writes it."""
    shown = json.loads(control_plane.kubectl("get", "namespace", "default", "--output=json").stdout)

    assert await live.namespaces.labels("default") == shown["metadata"]["labels"]
    assert shown["metadata"]["labels"]["kubernetes.io/metadata.name"] == "default"
