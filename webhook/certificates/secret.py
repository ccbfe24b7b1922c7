"""
The certificate authority that all replicas share, in a Secret of our namespace, which decides for all of them.

A Secret is created where there is none, and never overwritten: to replace the authority is for administrators.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from webhook.certificates.authority import Authority, create_authority, read_authority
from webhook.certificates.pairs import CertificateError, PairSource
from webhook.certificates.signed import SignedIdentity
from webhook.kube.api import AlreadyExistsError, KubernetesApi, NotFoundError
from webhook.ports import Clock

NAME: Final = "userquota-ca"
# Give up after so many times in which the Secret was deleted between our create and our read.
_ATTEMPTS: Final = 3
_ADVICE: Final = "userquota overwrites no Secret: replace it as certs/README.md says"


class _Secret(msgspec.Struct):
    # msgspec reads bytes from base64, which is how the API server sends them.
    data: dict[str, bytes] | None = None


async def from_secret(api: KubernetesApi, *, namespace: str, names: Sequence[str], clock: Clock) -> SignedIdentity:
    """
    Return an identity that the namespace's authority signs, which is made if there is none, and followed from then on.

    Raises: CertificateError when the Secret holds no usable authority, ApiError when it can neither be read nor made.
    """

    async def agree(own: Authority | None) -> Authority:
        return await obtain_authority(api, namespace=namespace, now=clock.now(), own=own)

    return SignedIdentity(await agree(None), names, clock=clock, agree=agree)


async def obtain_authority(
    api: KubernetesApi, *, namespace: str, now: datetime, own: Authority | None = None
) -> Authority:
    """
    Return the authority in the Secret, the same for every replica, also when all of them start at once.

    Where there is no Secret it is created from *own*, the authority that this replica uses: the API server trusts it,
    and a new one would make calls to the other replicas fail. A replica that has none, or an expired one, makes a new
    one. Only one create can win; the others read what the winner stored.
    Raises: CertificateError, ApiError.
    """
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    for _ in range(_ATTEMPTS):
        try:
            return _read(await api.get(f"{secrets}/{NAME}"), namespace=namespace, now=now)
        except NotFoundError:
            is_usable = own is not None and now < own.certificate.not_valid_after_utc
            made = own if own is not None and is_usable else create_authority(now)
        try:
            await api.create(secrets, _manifest(made, namespace))
        except AlreadyExistsError:
            continue
        return made
    raise CertificateError(f"Secret {namespace}/{NAME}", "appears and disappears: see who deletes it, then start again")


def _read(body: bytes, *, namespace: str, now: datetime) -> Authority:
    secret = f"Secret {namespace}/{NAME}"
    source = PairSource(f"{secret}, key tls.crt", f"{secret}, key tls.key")
    try:
        data = msgspec.json.decode(body, type=_Secret).data or {}
    except (ValueError, RecursionError) as error:  # msgspec's errors, and those of bytes that are no UTF-8
        raise CertificateError(secret, f"the API server's answer cannot be read: {error}") from error
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
