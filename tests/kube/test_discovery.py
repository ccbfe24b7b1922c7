"""What a real API server says of the kinds that a policy names."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.kinds.test_a_new_kind import definition
from webhook.kube.api import KubernetesApi
from webhook.kube.discovery import UnsuitableKindError, discover


@pytest.fixture
def widgets(control_plane: ControlPlane) -> Iterator[str]:
    """A custom resource of two versions, of which the older one is stored."""
    body = definition("Widget")
    [version] = body["spec"]["versions"]
    body["spec"] |= {
        "group": "two.example.com",
        "versions": [version, {**version, "name": "v2beta1", "storage": False}],
    }
    body["metadata"]["name"] = "widgets.two.example.com"
    control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(body))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/widgets.two.example.com")
    yield "widgets.two.example.com"
    control_plane.kubectl("delete", "crd", "widgets.two.example.com")


KNOWN = {
    "services": ("v1", "Service", "/api/v1/services"),
    "configmaps": ("v1", "ConfigMap", "/api/v1/configmaps"),
    "ingresses.networking.k8s.io": ("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/ingresses"),
    "horizontalpodautoscalers.autoscaling": (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
    ),
}


@pytest.mark.parametrize("resource", KNOWN)
async def test_a_kind_has_the_version_that_the_api_prefers(api: KubernetesApi, resource: str) -> None:
    kind = await discover(api, resource)

    assert (kind.api_version, kind.kind, kind.collection) == KNOWN[resource]
    assert kind.resource == resource
    assert kind.count == f"count/{resource}"
    assert kind.is_charged


async def test_a_custom_resource_is_found(api: KubernetesApi, widgets: str) -> None:
    kind = await discover(api, widgets)

    assert (kind.api_version, kind.kind) == ("two.example.com/v1", "Widget")


REFUSED = {
    "gizmos.example.com": "the API serves no such kind",
    "deployments": "the API serves no such kind",
    "gizmos.apps": "the API serves no such kind",
    "nodes": "its objects are in no namespace",
    "clusterroles.rbac.authorization.k8s.io": "its objects are in no namespace",
    "bindings": "the API does not serve list, watch of it",
    "localsubjectaccessreviews.authorization.k8s.io": "the API does not serve list, watch of it",
}


@pytest.mark.parametrize("resource", REFUSED)
async def test_what_cannot_be_counted_is_refused_with_the_reason(api: KubernetesApi, resource: str) -> None:
    with pytest.raises(UnsuitableKindError) as caught:
        await discover(api, resource)

    assert str(caught.value) == REFUSED[resource]
