"""
What API servers answer, or whatever stands before them: lists, watches, single objects, configurations, certificates.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from fuzz.target import Target, promise
from fuzz.targets.worlds import NOON, policy, result_of
from webhook.certificates import CertificateError
from webhook.certificates.pairs import PairSource, key_pem, read_certificates, read_pair
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.registry import Registry
from webhook.kube.access import CallersRights
from webhook.kube.api import ApiError, KubernetesApi
from webhook.kube.api.errors import api_error
from webhook.kube.denial_list import DenialListError, list_denials
from webhook.kube.discovery import UnsuitableKindError, discover
from webhook.kube.front_proxy import FrontProxyConfigMap
from webhook.kube.group_objects import GroupObject
from webhook.kube.identity_leases import read_renewals
from webhook.kube.ledger_config_map import LedgerConfigMap, StoredConfigMap
from webhook.kube.limit_ranges import LimitRangeReads
from webhook.kube.namespaces import Namespace, NamespaceLabels
from webhook.kube.object_list import ObjectList, read_raw_pages
from webhook.kube.object_reads import ObjectReads
from webhook.kube.pod_classes import PodClassReads
from webhook.kube.policy_copy import PolicyCopyConfigMap
from webhook.kube.reflector.events import Decoder, MalformedError, ResourceVersionError, Undecodable, list_version
from webhook.kube.server_version import read_version
from webhook.kube.workload_pods import WorkloadPods
from webhook.ports import Caller, UnavailableError
from webhook.quota.objects import AnyObject, ObjectKey
from webhook.registration import RegistrationError
from webhook.registration.live import parse
from webhook.wiring.file_kinds import kinds_under

_MOST_PAGES = 3
_BASE64 = re.compile(r"[A-Za-z0-9+/]{30}")
"""Part of a key, if an error holds it."""


class _Answering:
    """Answers every request with the same bytes, a few times; then it fails, so that no list goes on for ever."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._left = _MOST_PAGES

    async def get(self, path: str, **_: object) -> bytes:
        """Return the answer."""
        if not self._left:
            raise ApiError("no more", request=path, status=500)
        self._left -= 1
        return self._answer

    async def create(self, path: str, _: bytes, **options: object) -> bytes:
        """Return the answer."""
        return await self.get(path, **options)


@cache
def _kinds() -> Registry:
    return kinds_under(policy())


@cache
def _decoders() -> tuple[Decoder[Any], ...]:
    shapes: dict[Any, None] = dict.fromkeys(each.shape for each in _kinds().charged)
    others = (AnyObject, PolicyConfigMap, StoredConfigMap, Namespace, GroupObject, FrontProxyConfigMap)
    return tuple(Decoder(each) for each in (*shapes, *others))


def check_watch(data: bytes) -> None:
    """Check an event of a watch, and a page of a list, of each kind of object that is watched."""
    for decoder in _decoders():
        try:
            event = decoder.event(data)
        except MalformedError as error:
            promise(str(error), "an error without words")
        else:
            promise(not isinstance(event, Undecodable) or event.problem, "what does not fit is named")
        try:
            page = decoder.page(data)
        except (MalformedError, ResourceVersionError):
            continue
        promise(page.resource_version >= 0, "version")
        promise(list_version(data) == page.resource_version, "version of the list")
    try:
        list_version(data)
    except (MalformedError, ResourceVersionError):
        pass
    promise(str(api_error(data, request="GET /", status=500)), "an error without words")


def check_read(data: bytes) -> None:
    """Check everything that is read by itself."""
    for ask in (
        lambda api: ObjectList(api, kinds=_kinds(), exempt=()).listing("pods"),
        lambda api: _all(read_raw_pages(api, "/api/v1/pods", resource="pods")),
        lambda api: ObjectReads(api, _kinds()).version_of(ObjectKey("pods", "n", "a")),
        lambda api: ObjectReads(api, _kinds()).newest_version("pods"),
        lambda api: ObjectReads(api, _kinds()).read_whole(
            PERSISTENT_VOLUME_CLAIMS, "n", "a", PERSISTENT_VOLUME_CLAIMS.shape
        ),
        lambda api: LedgerConfigMap(api, namespace="n").read(),
        lambda api: PolicyCopyConfigMap(api, namespace="n").read(),
        lambda api: LimitRangeReads(api, monotonic=_zero).bounds("n"),
        lambda api: PodClassReads(api, monotonic=_zero).overheads(),
        lambda api: PodClassReads(api, monotonic=_zero).default_priority_class(),
        lambda api: NamespaceLabels(api, on_change=_ignore).annotations("n"),
        lambda api: WorkloadPods(api, ObjectReads(api, _kinds()), _kinds()).device_claims("n", ("a",)),
        lambda api: CallersRights(api).may(Caller("alice", (), "", {}), "create", "pods"),
        lambda api: discover(api, "widgets.example.com"),
        read_renewals,
        read_version,
        list_denials,
    ):
        _check_read(cast("Coroutine[Any, Any, object]", ask(cast("KubernetesApi", _Answering(data)))))


def _check_read(reading: Coroutine[Any, Any, object]) -> None:
    try:
        result_of(reading)
    except (UnavailableError, UnsuitableKindError, DenialListError) as error:
        promise(str(error), "an error without words")


async def _all(pages: AsyncIterator[list[msgspec.Raw]]) -> int:
    return sum([len(page) async for page in pages])


def _zero() -> float:
    return 0.0


def _ignore(_: str) -> None:
    pass


def check_configuration(data: bytes) -> None:
    """Check a stored webhook configuration."""
    try:
        found = parse(data, source="Configuration c")
    except RegistrationError as error:
        promise(str(error).startswith("Configuration c: "), str(error))
        return
    for name, each in found.items():
        promise(each.name == name and isinstance(each.ca_bundle, bytes), name)


def check_certificate(data: bytes) -> None:
    """Check a certificate with its key: both halves in one text, as many keep them."""
    source = PairSource("tls.crt", "tls.key")
    try:
        read_certificates(data, source=source.certificate)
    except CertificateError as error:
        promise(error.source == source.certificate and error.problem, str(error))
    try:
        pair = read_pair(data, data, source=source)
        pair.check_name("userquota.userquota-system.svc")
        pair.check_issuer(pair.chain, source="ca.crt")
        pair.check_dates(NOON)
    except CertificateError as error:
        promise("\n" not in str(error), str(error))
        promise(error.source != source.key or not _BASE64.search(error.problem), "a key in an error")


def _pairs() -> list[bytes]:
    """Return certificates with their keys, the same each time: a key in a file would look like one that was lost."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzz")])
    names = [x509.DNSName("*.userquota-system.svc"), x509.IPAddress(ip_address("127.0.0.1"))]
    building = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOON, NOON + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    certificate = building.sign(key, None).public_bytes(serialization.Encoding.PEM)
    return [certificate, certificate + key_pem(key), key_pem(key) + certificate * 2]


TARGETS = (
    Target(
        "watch",
        "`kube/reflector/events.py`, `kube/api/errors.py`",
        "an event, one that does not fit its kind, or no event; a list has one version",
        check_watch,
    ),
    Target(
        "read",
        "`kube/` lists and reads of single objects",
        "an answer, or an error that says what cannot be read",
        check_read,
    ),
    Target(
        "configuration",
        "`registration/live.py`",
        "each webhook under its name",
        check_configuration,
    ),
    Target(
        "certificate",
        "`certificates/pairs.py`",
        "no error has more than a line, or a part of a key",
        check_certificate,
        made=_pairs,
    ),
)
