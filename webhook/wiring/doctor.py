"""
Reads a cluster and an installation for `userquota doctor`, all parts at once, and without a change.

Pods that are tried are created in dry runs: they are judged by all that judges pods, and are not stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from webhook.certificates.pairs import CertificateError, read_certificates
from webhook.certificates.secret import NAME as AUTHORITY
from webhook.doctor.facts import (
    DeploymentFacts,
    Facts,
    NamespaceFacts,
    OtherWebhooks,
    PolicyFacts,
    Trial,
    Unread,
    WebhookFacts,
)
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.documents.policy_text import read_policy
from webhook.kube.access import Right
from webhook.kube.api import ApiError, ForbiddenError, KubernetesApi
from webhook.kube.identity_leases import read_renewals
from webhook.kube.installation import InstallationReads
from webhook.kube.ledger_config_map import LedgerConfigMap
from webhook.kube.server_version import UnreachedError, read_version
from webhook.policy_source import POLICY_SELECTOR
from webhook.ports import UnavailableError
from webhook.quota.objects import OWNER_ANNOTATION
from webhook.registration import RegistrationError, WebhookManifest, api_service, live, manifest_files
from webhook.registration.bundles import certificates
from webhook.registration.drift import differences, installed_in
from webhook.registration.exemptions import read_exempt
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import POLICY_WEBHOOK
from webhook.registration.neighbours import neighbours
from webhook.settings import Settings
from webhook.wiring.inspection import read_condition

_SIGNING = "tls.crt"
"""The key of the Secret with the authority that signs."""

_ANYBODYS_POD: Mapping[str, Any] = {
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "none",
            "image": "userquota-doctor",
            "resources": {
                "requests": {"cpu": "1m", "memory": "1Mi"},
                "limits": {"cpu": "1m", "memory": "1Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
"""As little as a pod can ask for, and what every level of Pod Security admits."""


class _Configurations(msgspec.Struct):
    items: list[dict[str, Any]] | None = None


class _ConfigMaps(msgspec.Struct):
    items: list[PolicyConfigMap] | None = None


async def look_at(settings: Settings, *, probe_namespace: str, now: datetime) -> Facts:
    """
    Return what there is in the cluster of *settings* at *now*; a pod is tried in *probe_namespace*.

    Raises: KubeconfigError; UnreachedError if no API server answers.
    """
    api = await KubernetesApi.connect(kubeconfig=settings.kubeconfig, context=settings.context)
    try:
        return await _Look(api, settings.namespace, now).facts(probe_namespace)
    finally:
        await api.close()


class _Look:
    """One look at a cluster, with userquota in *namespace*."""

    def __init__(self, api: KubernetesApi, namespace: str, now: datetime) -> None:
        self._api = api
        self._namespace = namespace
        self._now = now
        self._reads = InstallationReads(api, namespace=namespace)
        self._manifests = tuple(installed_in(each, namespace) for each in manifest_files.webhook_manifests())

    async def facts(self, probe_namespace: str) -> Facts:
        """Return all of it. Raises: UnreachedError."""
        version = await self._version()
        reads = self._reads
        async with asyncio.TaskGroup() as group:
            groups = group.create_task(reads.groups())
            skew = group.create_task(reads.skew())
            leases = group.create_task(self._leases())
            namespace = group.create_task(reads.namespace())
            quotas = group.create_task(reads.quotas())
            deployment = group.create_task(reads.deployment())
            service = group.create_task(reads.service())
            endpoints = group.create_task(reads.endpoints())
            view = group.create_task(reads.view(api_service.NAME))
            liquid = group.create_task(reads.view(api_service.LIQUID))
            secret = group.create_task(reads.secret(AUTHORITY))
            found = group.create_task(self._configurations())
            others = group.create_task(self._others())
            policy = group.create_task(self._policy())
            ledger = group.create_task(self._ledger())
        deployed, authority = deployment.result(), secret.result()
        webhooks = self._webhooks(found.result(), authority, deployed)
        async with asyncio.TaskGroup() as group:
            own_pod = group.create_task(self._own_pod(namespace.result(), deployed))
            lacks = group.create_task(self._account_lacks(deployed))
            last_mile = group.create_task(self._last_mile(webhooks, probe_namespace))
        return Facts(
            name=self._namespace,
            route=self._api.route,
            version=version,
            groups=groups.result(),
            leases=leases.result(),
            skew=skew.result(),
            namespace=namespace.result(),
            quotas=quotas.result(),
            own_pod=own_pod.result(),
            account_lacks=lacks.result(),
            deployment=deployed,
            service=service.result(),
            endpoints=endpoints.result(),
            webhooks=webhooks,
            others=others.result(),
            authority=authority if isinstance(authority, Unread) else authority is not None,
            view=view.result(),
            liquid=liquid.result(),
            policy=policy.result(),
            ledger=ledger.result(),
            last_mile=last_mile.result(),
        )

    async def _version(self) -> tuple[int, int, str] | Unread:
        try:
            return await read_version(self._api)
        except UnreachedError:
            raise
        except UnavailableError as error:
            return _unread(error, "get /version")

    async def _leases(self) -> int | Unread:
        try:
            return len(await read_renewals(self._api))
        except UnavailableError as error:
            return _unread(error, "list leases.coordination.k8s.io in kube-system")

    async def _configurations(self) -> Mapping[str, Mapping[str, LiveWebhook] | None] | Unread:
        try:
            return {each.kind: await live.read(self._api, each) for each in self._manifests}
        except ForbiddenError:
            right = "get the webhook configurations named userquota"
            return Unread(f"you may not {right}", right)
        except (ApiError, RegistrationError) as error:
            return Unread(str(error))

    def _webhooks(
        self,
        found: Mapping[str, Mapping[str, LiveWebhook] | None] | Unread,
        authority: Mapping[str, bytes] | Unread | None,
        deployment: DeploymentFacts | Unread | None,
    ) -> WebhookFacts | Unread:
        if isinstance(found, Unread):
            return found
        compared = [each for manifest in self._manifests for each in differences(manifest, found[manifest.kind] or {})]
        present = [each for listed in found.values() for each in (listed or {}).values()]
        names = {name for manifest in self._manifests for name in manifest.paths}
        ours = [each for each in present if each.name.endswith(".userquota.dev")]
        charging = [each for each in ours if each.name in names - {POLICY_WEBHOOK}]
        exempt, remarks = read_exempt(charging) if charging else (frozenset[str](), ())
        missing = tuple(str(each) for each in self._manifests if found[each.kind] is None)
        return WebhookFacts(
            missing=missing,
            differences=tuple(
                str(each)
                for each in compared
                if not each.is_foreign and not (each.is_missing and _lacks_all(self._manifests, found, each.webhook))
            ),
            foreign=tuple(str(each) for each in compared if each.is_foreign),
            is_ours=any(each.name in names for each in present),
            exempt=exempt,
            exemption_remarks=remarks,
            untrusted=tuple(each.name for each in ours if not certificates(each.ca_bundle)),
            expired=tuple(each.name for each in ours if self._is_expired(each.ca_bundle)),
            strangers=_strangers(ours, authority, deployment),
            urls=tuple(dict.fromkeys(each.url for each in ours if each.url)),
        )

    def _is_expired(self, bundle: bytes) -> bool:
        """Whether *bundle* has certificates, and all of them are out of date."""
        if not certificates(bundle):
            return False
        try:
            return all(each.not_valid_after_utc <= self._now for each in read_certificates(bundle, source="caBundle"))
        except CertificateError:
            return True  # the API server takes nothing that is no PEM, but much that is no certificate

    async def _others(self) -> OtherWebhooks | Unread:
        found: list[dict[str, Any]] = []
        for manifest in self._manifests:
            plural = manifest.address.rpartition("/")[0]
            right = "list webhook configurations"
            listed = await self._reads.read(plural, _Configurations, right=right)
            if isinstance(listed, Unread):
                return listed
            # The items of a list carry no kind.
            found += ({**each, "kind": manifest.kind} for each in (listed.items or () if listed else ()))
        return neighbours(found, self._manifests, namespace=self._namespace)

    async def _policy(self) -> PolicyFacts | Unread:
        found = await self._reads.read(
            f"/api/v1/namespaces/{self._namespace}/configmaps",
            _ConfigMaps,
            right=f"list configmaps in {self._namespace}",
            query={"labelSelector": POLICY_SELECTOR},
        )
        if isinstance(found, Unread):
            return found
        maps = found.items or [] if found else []
        faults = tuple(each.message for item in maps for each in item.faults)
        reading = await asyncio.to_thread(read_policy, [text for each in maps for text in each.texts()])
        return PolicyFacts(
            tuple(each.metadata.name for each in maps), (*faults, *(str(each) for each in reading.mistakes))
        )

    async def _ledger(self) -> str | Unread:
        try:
            condition, _ = await read_condition(LedgerConfigMap(self._api, namespace=self._namespace))
        except UnavailableError as error:
            return _unread(error, f"get configmaps in {self._namespace}")
        return condition

    async def _own_pod(
        self, namespace: NamespaceFacts | Unread | None, deployment: DeploymentFacts | Unread | None
    ) -> Trial | Unread | None:
        if isinstance(namespace, Unread):
            return namespace
        if namespace is None:
            return None
        spec = await self._reads.template() if isinstance(deployment, DeploymentFacts) else None
        if spec is None:
            manifest = manifest_files.deployment()["spec"]["template"]["spec"]
            # Before the installation there is no account of ours, and a pod of another shows the same.
            spec = {key: value for key, value in manifest.items() if key != "serviceAccountName"}
        return await self._reads.try_pod(self._namespace, spec, OWNER_ANNOTATION)

    async def _account_lacks(self, deployment: DeploymentFacts | Unread | None) -> tuple[str, ...] | Unread | None:
        if not isinstance(deployment, DeploymentFacts):
            return deployment
        return await self._reads.account_lacks(deployment.account, tuple(_rights(self._namespace)))

    async def _last_mile(self, webhooks: WebhookFacts | Unread, namespace: str) -> Trial | Unread | None:
        if isinstance(webhooks, WebhookFacts) and not webhooks.is_ours:
            return None
        return await self._reads.try_pod(namespace, _ANYBODYS_POD, OWNER_ANNOTATION)


def _lacks_all(
    manifests: Sequence[WebhookManifest], found: Mapping[str, Mapping[str, LiveWebhook] | None], webhook: str
) -> bool:
    """Whether the configuration of *webhook* is missing as a whole, which is told once and not for each webhook."""
    return any(webhook in each.paths and found[each.kind] is None for each in manifests)


def _strangers(
    webhooks: Iterable[LiveWebhook],
    authority: Mapping[str, bytes] | Unread | None,
    deployment: DeploymentFacts | Unread | None,
) -> tuple[str, ...] | None:
    """Return the webhooks that do not trust our *authority*, None if there is none or another signs: files."""
    args = deployment.args if isinstance(deployment, DeploymentFacts) else ()
    if authority is None or isinstance(authority, Unread) or any(each.startswith("--tls-cert") for each in args):
        return None
    # The other authority in the Secret signs nothing before it is trusted everywhere.
    signing = frozenset(certificates(authority.get(_SIGNING, b"")))
    return tuple(each.name for each in webhooks if signing.isdisjoint(certificates(each.ca_bundle)))


def _rights(namespace: str) -> Iterator[tuple[Right, str]]:
    """Yield what the manifests grant us, each right with the name of the object that it is for, if it is for one."""
    for role in manifest_files.roles():
        where = namespace if role["kind"] == "Role" else ""
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for plural in rule["resources"]:
                    resource = f"{plural}.{group}" if group else plural
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", ("",)):
                            yield Right(verb, resource, where), name


def _unread(error: UnavailableError, right: str) -> Unread:
    if isinstance(error.__cause__, ForbiddenError):
        return Unread(f"you may not {right}", right)
    return Unread(str(error))
