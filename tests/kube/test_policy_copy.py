"""The copy of the last good policy, in a ConfigMap of a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from localcluster.controlplane import ControlPlane
from webhook.kube.api import KubernetesApi
from webhook.kube.policy_copy import NAME, PolicyCopyConfigMap
from webhook.ports import UnavailableError

pytestmark = pytest.mark.cluster

NAMESPACE = "policy-copy"
CONTENT = bytes(range(256)) * 2700  # as much as is ever written: the body stays below 1 MiB


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    control_plane.kubectl("create", "namespace", NAMESPACE, check=False)
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    yield api
    control_plane.kubectl("delete", "configmap", NAME, f"--namespace={NAMESPACE}", "--ignore-not-found")
    await api.close()


async def test_it_is_made_read_and_replaced(api: KubernetesApi) -> None:
    copy = PolicyCopyConfigMap(api, namespace=NAMESPACE)

    assert await copy.read() is None
    assert await copy.write(CONTENT, after=None)
    first = await copy.read()
    assert first is not None
    assert first.content == CONTENT
    assert await copy.write(b"two", after=first)
    second = await copy.read()
    assert second is not None
    assert (second.content, second.uid) == (b"two", first.uid)
    assert second.resource_version > first.resource_version


async def test_who_comes_later_replaces_nothing(api: KubernetesApi, control_plane: ControlPlane) -> None:
    copy = PolicyCopyConfigMap(api, namespace=NAMESPACE)

    made = await asyncio.gather(*(copy.write(b"%d" % number, after=None) for number in range(5)))
    assert made.count(True) == 1
    first = await copy.read()
    assert await copy.write(b"two", after=first)
    assert not await copy.write(b"three", after=first)
    control_plane.kubectl("delete", "configmap", NAME, f"--namespace={NAMESPACE}")
    assert not await copy.write(b"four", after=first)


async def test_where_it_cannot_be_written_an_error_says_so(api: KubernetesApi) -> None:
    copy = PolicyCopyConfigMap(api, namespace="nowhere")

    assert await copy.read() is None
    with pytest.raises(UnavailableError, match=r"ConfigMap userquota-policy-last-good cannot be written: .*404"):
        await copy.write(b"one", after=None)
