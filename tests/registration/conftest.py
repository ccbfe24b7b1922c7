"""The two configurations that a test installs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.registration.installed import Cluster


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(control_plane)
    yield cluster
    cluster.remove()
    cluster.withdraw()
