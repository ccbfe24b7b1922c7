"""The two configurations that a test installs, alone or with replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.registration.installation import Installation
from tests.registration.installed import Cluster
from webhook.kube.api import KubernetesApi


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(control_plane)
    yield cluster
    cluster.remove()
    cluster.withdraw()


@pytest.fixture
async def installation(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Installation]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    installation = Installation(control_plane, api, namespace)
    installation.cluster.install()
    for _ in range(2):
        await installation.start()
    yield installation
    await api.close()
    installation.cluster.remove()
