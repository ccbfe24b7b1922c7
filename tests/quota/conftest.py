"""Kubernetes' own arithmetic, for the tests that compare ours with it."""

import os

import pytest
from _pytest.capture import CaptureManager

from tests.oracle.program import Oracle, find_oracle


@pytest.fixture(scope="session")
def oracle(pytestconfig: pytest.Config) -> Oracle:
    """The first session on a machine builds it: where the control plane was not built yet, that takes minutes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    with capture.global_and_fixture_disabled():
        return Oracle(find_oracle(os.environ))
