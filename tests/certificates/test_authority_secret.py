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
import structlog

from localcluster.controlplane import ControlPlane
from webhook.certificates import CertificateError, from_secret
from webhook.certificates.authority import create_authority, sign_leaf
from webhook.certificates.signed import SignedIdentity
from webhook.kube.api import ForbiddenError, KubernetesApi

NAMES = ("userquota.userquota-system.svc",)
ADVICE = "userquota overwrites no Secret that it has not made: replace it as certs/README.md says"


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
    assert set(secret["data"]) == {"tls.crt", "tls.key", "next.crt", "next.key"}
    certificates = [base64.b64decode(secret["data"][key]) for key in ("tls.crt", "next.crt")]
    assert b"".join(certificates) == identity.ca_bundle


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
    assert len({identity.ca_bundle for identity in identities}) == 1


async def test_a_running_replica_publishes_another_authority_that_was_stored(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    identity = await identity_of(api, namespace)
    old = identity.ca_bundle
    delete(control_plane, namespace)
    store(control_plane, namespace, replacement := data_of())
    await identity.refresh()
    following = base64.b64decode(stored(control_plane, namespace)["data"]["next.crt"])
    signing, *_ = old.partition(b"-----END CERTIFICATE-----\n")
    assert identity.ca_bundle == replacement["tls.crt"] + following + signing + b"-----END CERTIFICATE-----\n"


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


async def test_one_of_ours_that_is_damaged_is_written_anew_by_those_that_run(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    identities = [await identity_of(api, namespace) for _ in range(3)]
    before = stored(control_plane, namespace)["data"]
    change(control_plane, namespace, {"tls.key": b"cut off"})
    await asyncio.gather(*(identity.refresh() for identity in identities))
    assert stored(control_plane, namespace)["data"] == before
    assert len({identity.ca_bundle for identity in identities}) == 1


async def test_one_of_ours_that_is_damaged_is_written_anew_at_the_start(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    await identity_of(api, namespace)
    change(control_plane, namespace, {"tls.crt": b"", "tls.key": b""})
    with structlog.testing.capture_logs() as logs:
        identities = await asyncio.gather(*(identity_of(api, namespace) for _ in range(5)))
    assert len({identity.ca_bundle for identity in identities}) == 1
    (reason,) = {entry["reason"] for entry in logs}
    assert reason.startswith(f"Secret {namespace}/userquota-ca, key tls.crt: holds no readable PEM certificate (")


async def test_what_follows_is_made_anew_where_it_is_damaged_and_signs_nothing_before_it_is_trusted(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    await identity_of(api, namespace)
    before = stored(control_plane, namespace)["data"]
    change(control_plane, namespace, {"next.key": b"cut off"})
    await identity_of(api, namespace)
    after = stored(control_plane, namespace)["data"]
    assert after["tls.crt"] == before["tls.crt"]
    assert after["next.crt"] != before["next.crt"]


async def test_an_authority_that_was_stored_alone_gets_one_beside_it(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str
) -> None:
    """By an administrator, or by a version that knew one authority; other fields of the Secret stay."""
    store(control_plane, namespace, {**data_of(), "note": b"of the administrator"})
    identities = await asyncio.gather(*(identity_of(api, namespace) for _ in range(5)))
    data = stored(control_plane, namespace)["data"]
    assert len({identity.ca_bundle for identity in identities}) == 1
    assert set(data) == {"tls.crt", "tls.key", "next.crt", "next.key", "note"}


@pytest.mark.parametrize("is_ours", [True, False])
async def test_one_that_has_expired_is_replaced_before_anything_is_served(
    api: KubernetesApi, control_plane: ControlPlane, namespace: str, *, is_ours: bool
) -> None:
    """After years without a replica. Nobody trusts what it signs, whoever stored it."""
    expired = data_of(born=timedelta(days=-400))
    if is_ours:
        await identity_of(api, namespace)
        change(control_plane, namespace, expired)
    else:
        store(control_plane, namespace, expired)
    identity = await identity_of(api, namespace)
    assert expired["tls.crt"] not in identity.ca_bundle
    identity.check_call(NAMES[0], identity.ca_bundle)


async def test_without_the_right_to_change_it_what_is_stored_is_used_and_told(
    control_plane: ControlPlane, namespace: str, api: KubernetesApi
) -> None:
    """The Role of an older version. Only what has expired is an error then."""
    role = [f"--namespace={namespace}", "userquota-ca"]
    control_plane.kubectl("create", "role", *role, "--verb=get", "--resource=secrets")
    control_plane.kubectl("create", "rolebinding", *role, "--role=userquota-ca", "--user=carol")
    store(control_plane, namespace, data_of(born=timedelta(days=-300)))
    carol = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("carol"))
    try:
        await until_allowed(carol, namespace)
        with structlog.testing.capture_logs() as logs:
            identity = await identity_of(carol, namespace)
        assert [entry["event"] for entry in logs] == ["the certificate authorities are not replaced: apply the Role"]
        assert identity.ca_bundle.count(b"BEGIN") == 1
        change(control_plane, namespace, data_of(born=timedelta(days=-400)))
        with pytest.raises(ForbiddenError, match="cannot patch resource"):
            await identity_of(carol, namespace)
    finally:
        await carol.close()


async def until_allowed(api: KubernetesApi, namespace: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await api.get(f"/api/v1/namespaces/{namespace}/secrets/userquota-ca")
            except ForbiddenError:
                await asyncio.sleep(0.1)
            else:
                return


def change(control_plane: ControlPlane, namespace: str, data: dict[str, bytes]) -> None:
    patch = {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
    control_plane.kubectl(
        "patch", "secret", "userquota-ca", f"--namespace={namespace}", "--type=merge", f"--patch={json.dumps(patch)}"
    )


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
}


@pytest.mark.parametrize(("data", "problem"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_secret_that_somebody_else_made_is_not_overwritten(
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


async def test_one_of_the_future_is_left_alone(api: KubernetesApi, control_plane: ControlPlane, namespace: str) -> None:
    """The clock of this machine may be wrong, and other replicas may serve what it signs."""
    await identity_of(api, namespace)
    change(control_plane, namespace, data_of(born=timedelta(days=2)))
    before = stored(control_plane, namespace)
    with pytest.raises(CertificateError, match=r"userquota-ca: is valid only from .*: set this machine's clock"):
        await identity_of(api, namespace)
    assert stored(control_plane, namespace) == before


async def test_a_missing_right_to_read_the_secret_is_an_error(control_plane: ControlPlane, namespace: str) -> None:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig("alice"))
    with pytest.raises(ForbiddenError, match="secrets"):
        await identity_of(api, namespace)
    await api.close()
