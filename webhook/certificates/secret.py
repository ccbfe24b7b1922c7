"""
The certificate authority that all replicas share, in a Secret of our namespace: made once, read by all.

It is never replaced here: two authorities that take turns are a later step.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec

from webhook.certificates.authority import Authority, create_authority, read_authority
from webhook.certificates.errors import CertificateError
from webhook.certificates.pairs import PairSource
from webhook.certificates.signed import SignedIdentity
from webhook.kube.api import AlreadyExistsError, KubernetesApi, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webhook.ports import Clock

NAME: Final = "userquota-ca"
# Somebody would have to delete the Secret between our create and our read, as often as this.
_ATTEMPTS: Final = 3
_ADVICE: Final = "userquota overwrites no Secret: delete it, and a new authority is made at the next start"


class _Secret(msgspec.Struct):
    # msgspec reads bytes from base64, which is how the API server sends them.
    data: dict[str, bytes] | None = None


async def from_secret(api: KubernetesApi, *, namespace: str, names: Sequence[str], clock: Clock) -> SignedIdentity:
    """
    Give an identity that is signed by the namespace's authority, which is made if there is none.

    Raises: CertificateError when the Secret holds no usable authority, ApiError when it can neither be read nor made.
    """
    return SignedIdentity([await obtain_authority(api, namespace=namespace, now=clock.now())], names, clock=clock)


async def obtain_authority(api: KubernetesApi, *, namespace: str, now: datetime) -> Authority:
    """
    Give the authority in the Secret, the same for every replica, also when all of them start at once.

    The Secret is made with a plain create, which only one of them can win; the others read the winner's.
    Raises: CertificateError, ApiError.
    """
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    for _ in range(_ATTEMPTS):
        try:
            return _read(await api.get(f"{secrets}/{NAME}"), namespace=namespace, now=now)
        except NotFoundError:
            made = create_authority(now)
        try:
            await api.create(secrets, _manifest(made, namespace))
        except AlreadyExistsError:
            continue
        return made
    raise CertificateError(f"Secret {namespace}/{NAME}", "appears and disappears: see who deletes it, then start again")


def _read(body: bytes, *, namespace: str, now: datetime) -> Authority:
    secret = f"Secret {namespace}/{NAME}"
    source = PairSource(f"{secret}, key tls.crt", f"{secret}, key tls.key")
    data = msgspec.json.decode(body, type=_Secret).data or {}
    try:
        for key, where in (("tls.crt", source.certificate), ("tls.key", source.key)):
            if key not in data:
                raise CertificateError(where, "is missing")  # noqa: TRY301 - gets the same advice as the others
        return read_authority(data["tls.crt"], data["tls.key"], source=source, now=now)
    except CertificateError as error:
        raise CertificateError(error.source, f"{error.problem}. {_ADVICE}") from error


def _manifest(authority: Authority, namespace: str) -> bytes:
    data = {"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem}
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/name": "userquota"}},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )
