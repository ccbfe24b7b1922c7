"""The identity Leases of real API servers."""

from __future__ import annotations

import asyncio

import pytest

from localcluster.controlplane import ControlPlane
from webhook.kube.api import KubernetesApi
from webhook.kube.identity_leases import read_renewals
from webhook.ledger.apiserver_leases import LeasesRefusedError
from webhook.ports import UnavailableError

RENEWED_WITHIN = 15.0
"""Seconds: the API server's ten, and then some."""


async def test_an_api_server_renews_its_lease_and_no_other_lease_is_listed(
    control_plane: ControlPlane, api: KubernetesApi
) -> None:
    lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: other, namespace: kube-system}\n"
    control_plane.kubectl("create", "-f", "-", stdin=lease)
    try:
        [(name, renewed)] = (await read_renewals(api)).items()
        assert name.startswith("apiserver-")
        async with asyncio.timeout(RENEWED_WITHIN):
            while await read_renewals(api) == {name: renewed}:  # noqa: ASYNC110 - nothing is watched here
                await asyncio.sleep(0.5)
        assert list(await read_renewals(api)) == [name]
    finally:
        control_plane.kubectl("delete", "-f", "-", stdin=lease)


async def test_a_missing_right_is_a_refusal_that_names_it(control_plane: ControlPlane) -> None:
    client = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("alice"))
    with pytest.raises(LeasesRefusedError, match=r"^the API servers' Leases could not be listed: .*403") as refused:
        await read_renewals(client)
    await client.close()
    assert refused.value.reason == "api-server-leases"


async def test_an_api_server_that_cannot_be_reached_refuses_nothing(control_plane: ControlPlane) -> None:
    client = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    await client.close()
    with pytest.raises(UnavailableError) as failed:
        await read_renewals(client)
    assert not isinstance(failed.value, LeasesRefusedError)
