"""The caBundle of the APIService, in a real API server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from webhook.certificates import self_signed
from webhook.kube.api import KubernetesApi
from webhook.registration import ApiServiceBundle, manifest_files
from webhook.registration.bundles import certificates
from webhook.wiring.application import SystemClock

NAME = "v1alpha1.view.userquota.dev"


def authority() -> bytes:
    return certificates(self_signed(("localhost",), SystemClock()).ca_bundle)[0]


@pytest.fixture
def installed(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    manifest = str(manifest_files.folder() / "apiservice.yaml")
    control_plane.kubectl("apply", "-f", manifest)
    yield control_plane
    control_plane.kubectl("delete", "-f", manifest)


def spec(cluster: ControlPlane) -> dict[str, object]:
    found: dict[str, object] = json.loads(cluster.kubectl("get", "apiservice", NAME, "-o", "json").stdout)["spec"]
    return found


def bundle(cluster: ControlPlane) -> list[bytes]:
    return list(certificates(base64.b64decode(str(spec(cluster).get("caBundle", "")))))


async def test_what_is_missing_is_added_at_once_and_what_is_old_is_removed_later(
    installed: ControlPlane, api: KubernetesApi
) -> None:
    first, second, now = authority(), authority(), 0.0
    kept = ApiServiceBundle(api, monotonic=lambda: now, overlap_seconds=180)

    await kept.ensure([first], may_remove=True)
    assert bundle(installed) == [first]
    await kept.ensure([second], may_remove=True)
    assert bundle(installed) == [second, first]
    now = 181
    await kept.ensure([second], may_remove=False)
    assert bundle(installed) == [second, first]
    await kept.ensure([second], may_remove=True)
    assert bundle(installed) == [second]

    assert spec(installed)["service"] == {"name": "userquota", "namespace": "userquota-system", "port": 8444}


async def test_one_that_is_not_installed_is_left_out(control_plane: ControlPlane, api: KubernetesApi) -> None:
    await ApiServiceBundle(api).ensure([authority()], may_remove=True)

    assert control_plane.kubectl("get", "apiservice", NAME, check=False).returncode == 1
