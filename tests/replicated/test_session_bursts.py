"""Sessions at once: three replicas start exactly as many as there are places, in `sessions` and under perSession."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.cluster.platforms import NOTEBOOKS, are_intercepted, installed
from tests.cluster.running import eventually
from tests.replicas import Replicas
from tests.replicated.asking import Asking, Made, numbered, statuses
from tests.replicated.history import History

CONTAINERS = [{"name": "n", "image": "x", "resources": {"requests": {"cpu": "1"}}}]
NOTEBOOK = Made("apis/kubeflow.org/v1", "notebooks", "Notebook", {"template": {"spec": {"containers": CONTAINERS}}})


@pytest.fixture
def notebooks(cluster: ControlPlane) -> Iterator[None]:
    with installed(cluster, NOTEBOOKS):
        yield


@pytest.mark.usefixtures("notebooks")
async def test_of_a_hundred_starts_at_once_for_ten_places_exactly_ten_succeed(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    replicas.set_policy(
        "version: 1\n"
        "sessions: {presets: [kubeflow-notebook]}\n"
        f"users: {{{person}: {{hard: {{sessions: 10}}, perSession: {{cpu: 1}}}}}}\n"
    )
    eventually(lambda: are_intercepted(replicas.cluster, NOTEBOOKS), within=40)

    async with History(replicas.cluster, place, of=NOTEBOOK) as history:
        answers = await asking.create_all(place, numbered("start", 100), user=person, of=NOTEBOOK)
        assert statuses(answers) == {201: 10, 403: 90}
        assert await history.shows({each.uid for each in answers if each.status == 201})
    assert history.most == 10
    refusals = [each.message for each in answers if each.status == 403]
    assert all(f"exceeded quota: users.{person}, requested: sessions=1" in each for each in refusals)
