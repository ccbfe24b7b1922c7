"""The certificate authority in its Secret, on a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcluster.controlplane import ControlPlane
from webhook.certificates import CertificateError, from_secret
from webhook.certificates.authority import create_authority, sign_leaf
from webhook.certificates.signed import SignedIdentity
from webhook.kube.api import ForbiddenError, KubernetesApi

NAMES = ("userquota.userquota-system.svc",)
ADVICE = "userquota overwrites no Secret: replace it as certs/README.md says"


class MachineClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), tz=UTC)

    def monotonic(self) -> float:
        return time.monotonic()


async def identity_of(api: KubernetesApi, namespace: str) -> SignedIdentity:
    return await from_secret(api, namespace=namespace, names=NAMES, clock=MachineClock())


def stored(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    answer = control_plane.kubectl("get", "secret", "userquota-ca", f"--namespace={namespace}", "--output=json")
    secret: dict[str, Any] = json.loads(answer.stdout)
    return secret


def store(control_plane: ControlPlane, namespace: str, data: dict[str, bytes]) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "userquota-ca", "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    control_plane.kubectl("create", "--filename=-", stdin=json.dumps(secret))


async def test_the_first_start_makes_the_secret(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    identity = await identity_of(api, namespace)
    secret = stored(control_plane, namespace)
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"tls.crt", "tls.key"}
    assert base64.b64decode(secret["data"]["tls.crt"]) == identity.ca_bundle


async def test_a_later_start_is_signed_by_the_same_authority(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    first = await identity_of(api, namespace)
    before = stored(control_plane, namespace)
    second = await identity_of(api, namespace)
    assert second.ca_bundle == first.ca_bundle
    assert stored(control_plane, namespace) == before


async def test_of_ten_that_start_at_once_all_serve_what_one_made(api: KubernetesApi, namespace: str) -> None:
    identities = await asyncio.gather(*(identity_of(api, namespace) for _ in range(10)))
    assert len({identity.ca_bundle for identity in identities}) == 1
    ssl.create_default_context(cadata=identities[0].ca_bundle.decode())


def delete(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("delete", "secret", "userquota-ca", f"--namespace={namespace}")


async def test_a_running_replica_puts_a_deleted_secret_back(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    """A new authority would make calls to all the other replicas fail."""
    identities = [await identity_of(api, namespace) for _ in range(3)]
    before = stored(control_plane, namespace)["data"]
    delete(control_plane, namespace)
    await asyncio.gather(*(identity.refresh() for identity in identities))
    assert stored(control_plane, namespace)["data"] == before
    assert {identity.ca_bundle for identity in identities} == {base64.b64decode(before["tls.crt"])}


async def test_a_running_replica_publishes_another_authority_that_was_stored(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    identity = await identity_of(api, namespace)
    old = identity.ca_bundle
    delete(control_plane, namespace)
    store(control_plane, namespace, replacement := data_of())
    await identity.refresh()
    assert identity.ca_bundle == replacement["tls.crt"] + old


async def test_a_running_replica_keeps_its_authority_when_the_secret_is_unusable(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    identity = await identity_of(api, namespace)
    bundle = identity.ca_bundle
    delete(control_plane, namespace)
    store(control_plane, namespace, {})
    with pytest.raises(CertificateError, match=r"key tls\.crt: is missing"):
        await identity.refresh()
    assert identity.ca_bundle == bundle


def data_of(*, born: timedelta = timedelta()) -> dict[str, bytes]:
    authority = create_authority(MachineClock().now() + born)
    return {"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem}


def leaf_data() -> dict[str, bytes]:
    now = MachineClock().now()
    pem = sign_leaf(create_authority(now), NAMES, now).pem
    key, end, certificate = pem.partition(b"-----END PRIVATE KEY-----\n")
    return {"tls.crt": certificate, "tls.key": key + end}


BROKEN = {
    "without a certificate": ({"tls.key": data_of()["tls.key"]}, "tls.crt: is missing"),
    "without a key": ({"tls.crt": data_of()["tls.crt"]}, "tls.key: is missing"),
    "empty": ({}, "tls.crt: is missing"),
    "with a certificate that is none": ({**data_of(), "tls.crt": b"x"}, "tls.crt: holds no readable PEM certificate ("),
    "with a key that is none": ({**data_of(), "tls.key": b"x"}, "tls.key: holds no readable PEM private key"),
    "with the key of another": (
        {**data_of(), "tls.key": data_of()["tls.key"]},
        "tls.key: does not belong to the first certificate of",
    ),
    "with a serving certificate": (leaf_data(), "tls.crt: is no certificate authority"),
    "that has expired": (data_of(born=timedelta(days=-3651)), "tls.crt: expired at"),
    "of the future": (data_of(born=timedelta(days=2)), "tls.crt: is valid only from"),
}


@pytest.mark.parametrize(("data", "problem"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_secret_is_never_overwritten(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str, data: dict[str, bytes], problem: str
) -> None:
    store(control_plane, namespace, data)
    before = stored(control_plane, namespace)
    with pytest.raises(CertificateError) as refusal:
        await identity_of(api, namespace)
    text = str(refusal.value)
    assert text.startswith(f"Secret {namespace}/userquota-ca, key {problem}")
    assert text.endswith(ADVICE)
    assert "\n" not in text
    assert stored(control_plane, namespace) == before


async def test_a_missing_right_to_read_the_secret_is_an_error(control_plane: ControlPlane, namespace: str) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("alice"))
    with pytest.raises(ForbiddenError, match="secrets"):
        await identity_of(api, namespace)
    await api.close()
