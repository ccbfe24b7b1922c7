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
from webhook.registration.api_service import LIQUID, NAMES
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


def spec(cluster: ControlPlane, name: str = NAME) -> dict[str, object]:
    found: dict[str, object] = json.loads(cluster.kubectl("get", "apiservice", name, "-o", "json").stdout)["spec"]
    return found


def bundle(cluster: ControlPlane, name: str = NAME) -> list[bytes]:
    return list(certificates(base64.b64decode(str(spec(cluster, name).get("caBundle", "")))))


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


async def test_that_of_a_broker_is_kept_beside_it_if_it_is_asked_for(
    installed: ControlPlane, api: KubernetesApi
) -> None:
    manifest = str(manifest_files.folder() / "components" / "liquid" / "apiservice.yaml")
    installed.kubectl("apply", "-f", manifest)
    first = authority()
    await ApiServiceBundle(api).ensure([first], may_remove=True)
    alone = bundle(installed, LIQUID)
    await ApiServiceBundle(api, names=NAMES).ensure([first], may_remove=True)
    both = bundle(installed), bundle(installed, LIQUID)
    installed.kubectl("delete", "-f", manifest)
    await ApiServiceBundle(api, names=NAMES).ensure([first], may_remove=True)

    assert (alone, both) == ([], ([first], [first]))
    assert bundle(installed) == [first]


async def test_one_that_is_not_installed_is_left_out(control_plane: ControlPlane, api: KubernetesApi) -> None:
    await ApiServiceBundle(api).ensure([authority()], may_remove=True)

    assert control_plane.kubectl("get", "apiservice", NAME, check=False).returncode == 1
