"""Sessions at once: three replicas start exactly as many as there are places, and each that starts gets its pod."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.platforms import NOTEBOOKS, are_intercepted, installed
from tests.cluster.running import eventually
from tests.replicas import Replicas
from tests.replicated.asking import PODS, Answer, Asking, Made, numbered, statuses
from tests.replicated.conftest import UNLIMITED
from tests.replicated.history import History

CONTROLLER = NOTEBOOKS.controller
CONTAINERS = [{"name": "n", "image": "x", "resources": {"requests": {"cpu": "1"}}}]
NOTEBOOK = Made("apis/kubeflow.org/v1", "notebooks", "Notebook", {"template": {"spec": {"containers": CONTAINERS}}})

OWN = Made("api/v1", "pods", "Pod", {"containers": CONTAINERS})


@pytest.fixture
def notebooks(cluster: ControlPlane, three: Replicas) -> Iterator[None]:
    """The platform; no policy counts its sessions when it goes, which the replicas would complain of."""
    with installed(cluster, NOTEBOOKS):
        yield
        three.set_policy(UNLIMITED)


@pytest.mark.usefixtures("notebooks")
async def test_of_a_hundred_starts_at_once_for_ten_places_exactly_ten_succeed(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    replicas.set_policy(
        "version: 1\n"
        "sessions: {presets: [kubeflow-notebook]}\n"
        f"users: {{{person}: {{hard: {{sessions: 10}}, perSession: {{cpu: 1}}}}}}\n"
    )
    eventually(lambda: are_intercepted(replicas.cluster, NOTEBOOKS))

    async with History(replicas.cluster, place, of=NOTEBOOK) as history:
        answers = await asking.create_decided(place, numbered("start", 100), user=person, of=NOTEBOOK)
        assert statuses(answers) == {201: 10, 403: 90}
        assert await history.shows({each.uid for each in answers if each.status == 201})
    assert history.most == 10
    refusals = [each.message for each in answers if each.status == 403]
    assert all(f"exceeded quota: users.{person}, requested: sessions=1" in each for each in refusals)


def pod_of(session: Answer) -> dict[str, object]:
    """Return the pod that the platform's controller makes for a session."""
    owner = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "name": session.name, "uid": session.uid}
    metadata = {
        "name": f"{session.name}-0",
        "labels": {"notebook-name": session.name},
        "ownerReferences": [{**owner, "controller": True}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": CONTAINERS}}


@pytest.mark.usefixtures("notebooks")
async def test_each_session_that_starts_gets_its_pod_while_others_want_the_room(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    replicas.set_policy(
        "version: 1\n"
        "sessions: {presets: [kubeflow-notebook]}\n"
        f"users: {{{person}: {{hard: {{sessions: 50, cpu: 10}}}}}}\n"
    )
    eventually(lambda: are_intercepted(replicas.cluster, NOTEBOOKS))

    async def start(name: str) -> tuple[Answer, Answer] | None:
        """Start a session; return what its pod is answered, and a pod of the person's own that wants the room."""
        session = await asking.create(place, name, user=person, of=NOTEBOOK)
        if session.status != 201:
            return None
        own = asking.create(place, f"own-{name}", user=person, of=OWN)
        its = asking.ask("POST", PODS.path(place), body=pod_of(session), acting_as=CONTROLLER)
        others, pod = await asyncio.gather(own, its)
        return pod, others

    started = [each for each in await asyncio.gather(*map(start, numbered("start", 30))) if each is not None]
    assert [pod.message for pod, _ in started if pod.status != 201] == []
    assert len(started) + sum(own.status == 201 for _, own in started) == 10
    refused = await asking.create(place, "late", user=person, of=NOTEBOOK)
    assert "requested: requests.cpu=1, used: requests.cpu=" in refused.message
