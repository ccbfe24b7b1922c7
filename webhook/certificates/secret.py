"""
The certificate authorities that all replicas share, in a Secret of our namespace, which decides for all of them.

Replicas that want to change it at once compare its version: one wins, the others read what it stored. An authority is
replaced when it is due, whoever stored it; a Secret of somebody else in which there is none is never overwritten.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import structlog

from webhook.certificates.authority import Authority, read_authority
from webhook.certificates.pairs import CertificateError, PairSource, check_begun
from webhook.certificates.signed import SignedIdentity
from webhook.certificates.succession import Authorities, create_authorities, replace_due
from webhook.kube.api import (
    MERGE_PATCH,
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    KubernetesApi,
    NotFoundError,
)
from webhook.ports import Clock
from webhook.quota.errors import UNREADABLE

log = structlog.get_logger(__name__)

NAME: Final = "userquota-ca"
_LABELS: Final = {"app.kubernetes.io/name": "userquota"}
"""On the Secrets that userquota makes. `kubectl replace` with one of somebody else takes it off."""

# Give up after so many times in which somebody else was faster with the Secret.
_ATTEMPTS: Final = 5
_ADVICE: Final = "userquota overwrites no Secret that it has not made: replace it as certs/README.md says"
# The first is what the type kubernetes.io/tls asks for, and all that versions with one authority read.
_SIGNING: Final = "tls"
_FOLLOWING: Final = "next"


class _Metadata(msgspec.Struct, frozen=True):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    labels: dict[str, str] | None = None


class _Secret(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    # msgspec reads bytes from base64, which is how the API server sends them.
    data: dict[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class StoredAuthorities:
    """The authorities in a Secret, and the version of it that a change has to name."""

    authorities: Authorities
    resource_version: str


async def from_secret(api: KubernetesApi, *, namespace: str, names: Sequence[str], clock: Clock) -> SignedIdentity:
    """
    Return an identity that the namespace's authorities sign. They are made where there are none, and followed.

    Raises: CertificateError when the Secret holds no usable authority, ApiError when it can neither be read nor made.
    """

    async def agree(own: Authorities | None) -> Authorities:
        return await obtain_authorities(api, namespace=namespace, now=clock.now(), own=own)

    return SignedIdentity(await agree(None), names, clock=clock, agree=agree)


async def obtain_authorities(
    api: KubernetesApi, *, namespace: str, now: datetime, own: Authorities | None = None
) -> Authorities:
    """
    Return the authorities in the Secret, the same for every replica, also when all of them start at once.

    What is due is replaced there first. Where there is no Secret, or one of ours that is damaged, it is written from
    *own*, the authorities that this replica knows: API servers trust these already. A replica that has none makes new
    ones.
    Raises: CertificateError, ApiError.
    """
    for _ in range(_ATTEMPTS):
        made = create_authorities(now) if own is None else replace_due(own, now)
        try:
            stored = await read_authorities(api, namespace=namespace, now=now)
        except NotFoundError:
            if await _create(api, namespace, made):
                return made
            continue
        except DamagedSecretError as error:
            log.warning("the Secret of the certificate authorities is damaged, and written anew", reason=str(error))
            if await replace_authorities(api, StoredAuthorities(made, error.resource_version), namespace=namespace):
                return made
            continue
        due = replace_due(stored.authorities, now)
        if due is stored.authorities:
            return due
        try:
            if await replace_authorities(api, StoredAuthorities(due, stored.resource_version), namespace=namespace):
                return due
        except ForbiddenError as error:
            if stored.authorities.signing.is_expired(now):
                raise
            log.warning("the certificate authorities are not replaced: apply the Role", reason=str(error))
            return stored.authorities
    raise CertificateError(f"Secret {namespace}/{NAME}", "changes all the time: see who writes it, then start again")


class DamagedSecretError(CertificateError):
    """A Secret that userquota made holds no usable authority; *resource_version* is what a repair has to name."""

    def __init__(self, found: CertificateError, resource_version: str) -> None:
        super().__init__(found.source, found.problem)
        self.resource_version = resource_version


async def read_authorities(api: KubernetesApi, *, namespace: str, now: datetime) -> StoredAuthorities:
    """
    Return what the Secret holds, also where it has expired.

    Raises: DamagedSecretError when userquota made the Secret and its signing authority cannot be used; CertificateError
    when somebody else made it, or the clock stands before an authority's beginning; NotFoundError and other ApiErrors.
    """
    name = f"Secret {namespace}/{NAME}"
    body = await api.get(_address(namespace))
    try:
        secret = msgspec.json.decode(body, type=_Secret)
    except UNREADABLE as error:
        raise CertificateError(name, f"the API server's answer cannot be read: {error}") from error
    data, version = secret.data or {}, secret.metadata.resource_version
    try:
        signing = _authority(data, _SIGNING, name=name)
    except CertificateError as error:
        if _LABELS.items() <= (secret.metadata.labels or {}).items():
            raise DamagedSecretError(error, version) from error
        raise CertificateError(error.source, f"{error.problem}. {_ADVICE}") from error
    found = Authorities(signing, _following(data, name=name))
    for each in found.all:
        check_begun(each.certificate, now, source=name)
    return StoredAuthorities(found, version)


async def replace_authorities(api: KubernetesApi, wanted: StoredAuthorities, *, namespace: str) -> bool:
    """Write *wanted* over the version that it names; return False if there is another one by now. Raises: ApiError."""
    body = {
        "metadata": {"resourceVersion": wanted.resource_version},
        "data": _data(wanted.authorities),
    }
    try:
        await api.patch(_address(namespace), msgspec.json.encode(body), content_type=MERGE_PATCH)
    except (ConflictError, NotFoundError):
        return False
    return True


async def _create(api: KubernetesApi, namespace: str, made: Authorities) -> bool:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": namespace, "labels": _LABELS},
        "type": "kubernetes.io/tls",
        "data": _data(made),
    }
    try:
        await api.create(_collection(namespace), msgspec.json.encode(body))
    except AlreadyExistsError:
        return False
    return True


def _authority(data: Mapping[str, bytes], prefix: str, *, name: str) -> Authority:
    certificate, key = f"{prefix}.crt", f"{prefix}.key"
    source = PairSource(f"{name}, key {certificate}", f"{name}, key {key}")
    for each, where in ((certificate, source.certificate), (key, source.key)):
        if each not in data:
            raise CertificateError(where, "is missing")
    return read_authority(data[certificate], data[key], source=source)


def _following(data: Mapping[str, bytes], *, name: str) -> Authority | None:
    """Return the authority that follows, None where there is none that can be used: it has signed nothing yet."""
    if not data.keys() & {f"{_FOLLOWING}.crt", f"{_FOLLOWING}.key"}:
        return None
    try:
        return _authority(data, _FOLLOWING, name=name)
    except CertificateError as error:
        log.warning("the certificate authority that follows cannot be used, another is made", reason=str(error))
        return None


def _data(authorities: Authorities) -> Mapping[str, str]:
    return {
        f"{prefix}.{half}": base64.b64encode(value).decode()
        for prefix, each in zip((_SIGNING, _FOLLOWING), authorities.all, strict=False)
        for half, value in (("crt", each.certificate_pem), ("key", each.key_pem))
    }


def _collection(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def _address(namespace: str) -> str:
    return f"{_collection(namespace)}/{NAME}"
