"""
Read what the doctor judges of a cluster and of an installation, with the rights of the caller.

What cannot be read is `Unread` with its reason; nothing is raised and nothing stored.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec

from webhook.doctor.facts import (
    DeploymentFacts,
    EndpointFacts,
    NamespaceFacts,
    QuotaFacts,
    ServiceFacts,
    Trial,
    Unread,
    ViewFacts,
)
from webhook.kube.access import CallersRights, Right
from webhook.kube.api import ApiError, ForbiddenError, KubernetesApi, NotFoundError, UnreachableError
from webhook.ports import Caller, UnavailableError
from webhook.quota.objects import Shape
from webhook.quota.quantity import NANOS, QuantityError, parse

T = TypeVar("T")

_NO_RIGHT = re.compile(r'User "[^"]*" cannot [a-z]+ resource')
_TRIAL_SECONDS = 35.0
"""Longer than all webhooks of others may take together with ours."""
_QUESTIONS_AT_ONCE = 10


class _Versions(Shape, frozen=True):
    versions: list[dict[str, str]] | None = None


class _Groups(Shape, frozen=True):
    groups: list[_Versions] | None = None


class _Meta(Shape, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Namespace(Shape, frozen=True):
    metadata: _Meta = _Meta()


class _QuotaSpec(Shape, frozen=True):
    hard: dict[str, str] | None = None
    scopes: list[str] | None = None
    scope_selector: dict[str, Any] | None = None


class _QuotaStatus(Shape, frozen=True):
    used: dict[str, str] | None = None


class _Quota(Shape, frozen=True):
    metadata: _Meta = _Meta()
    spec: _QuotaSpec = _QuotaSpec()
    status: _QuotaStatus = _QuotaStatus()


class _Quotas(Shape, frozen=True):
    items: list[_Quota] | None = None


class _Variable(Shape, frozen=True):
    name: str = ""
    value: str = ""


class _Container(Shape, frozen=True):
    args: list[str] | None = None
    env: list[_Variable] | None = None


class _PodSpec(Shape, frozen=True):
    containers: list[_Container] | None = None
    service_account_name: str = "default"


class _Template(Shape, frozen=True):
    spec: _PodSpec = _PodSpec()


class _DeploymentSpec(Shape, frozen=True):
    replicas: int = 1
    template: _Template = _Template()


class _DeploymentStatus(Shape, frozen=True):
    available_replicas: int = 0


class _Deployment(Shape, frozen=True):
    spec: _DeploymentSpec = _DeploymentSpec()
    status: _DeploymentStatus = _DeploymentStatus()


class _Port(Shape, frozen=True):
    port: int = 0


class _ServiceSpec(Shape, frozen=True):
    ports: list[_Port] | None = None
    ip_families: list[str] | None = None


class _Service(Shape, frozen=True):
    spec: _ServiceSpec = _ServiceSpec()


class _Conditions(Shape, frozen=True):
    ready: bool | None = None


class _Endpoint(Shape, frozen=True):
    addresses: list[str] | None = None
    conditions: _Conditions | None = None


class _Slice(Shape, frozen=True):
    endpoints: list[_Endpoint] | None = None


class _Slices(Shape, frozen=True):
    items: list[_Slice] | None = None


class _ApiServiceSpec(Shape, frozen=True):
    ca_bundle: bytes | None = None


class _Condition(Shape, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class _ApiServiceStatus(Shape, frozen=True):
    conditions: list[_Condition] | None = None


class _ApiService(Shape, frozen=True):
    spec: _ApiServiceSpec = _ApiServiceSpec()
    status: _ApiServiceStatus = _ApiServiceStatus()


class _Secret(Shape, frozen=True):
    data: dict[str, bytes] | None = None


class _Named(Shape, frozen=True):
    name: str = ""


class _TriedSpec(Shape, frozen=True):
    containers: list[_Named] | None = None
    init_containers: list[_Named] | None = None


class _Tried(Shape, frozen=True):
    metadata: _Meta = _Meta()
    spec: _TriedSpec = _TriedSpec()


class InstallationReads:
    """Reads of one cluster, for an installation in *namespace*."""

    def __init__(self, api: KubernetesApi, *, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def groups(self) -> frozenset[str] | Unread:
        """Return the API groups with their versions, such as `apps/v1`."""
        found = await self.read("/apis", _Groups, right="see which API groups there are")
        if isinstance(found, Unread) or found is None:
            return found or Unread("the API server does not serve /apis")
        return frozenset(
            version.get("groupVersion", "") for each in found.groups or () for version in each.versions or ()
        )

    async def skew(self) -> float | Unread | None:
        """Return how many seconds our clock is ahead of the API server's, None if it does not tell."""
        begun = time.time()
        try:
            date = await self._api.date()
            moment = parsedate_to_datetime(date).timestamp()
        except ApiError as error:
            return Unread(str(error))
        except ValueError:
            return None
        # The header has no fraction of a second, which is half a second on average.
        return (begun + time.time()) / 2 - moment - 0.5

    async def namespace(self) -> NamespaceFacts | Unread | None:
        """Return our namespace."""
        found = await self.read(f"/api/v1/namespaces/{self._namespace}", _Namespace, right="get namespaces")
        if not isinstance(found, _Namespace):
            return found
        return NamespaceFacts(found.metadata.labels or {}, is_ending=found.metadata.deletion_timestamp is not None)

    async def quotas(self) -> tuple[QuotaFacts, ...] | Unread:
        """Return the ResourceQuotas of our namespace that hold for all objects; a trial shows what others refuse."""
        found = await self._ours("/api/v1", "resourcequotas", _Quotas, right="list resourcequotas")
        if isinstance(found, Unread):
            return found
        listed = found.items or () if found else ()
        return tuple(
            QuotaFacts(each.metadata.name, _room(each))
            for each in listed
            if not each.spec.scopes and not each.spec.scope_selector
        )

    async def deployment(self) -> DeploymentFacts | Unread | None:
        """Return our Deployment."""
        path, right = "deployments/userquota", "get deployments.apps"
        found = await self._ours("/apis/apps/v1", path, _Deployment, right=right)
        if not isinstance(found, _Deployment):
            return found
        pod = found.spec.template.spec
        first = pod.containers[0] if pod.containers else _Container()
        return DeploymentFacts(
            found.spec.replicas,
            found.status.available_replicas,
            tuple(first.args or ()),
            {each.name: each.value for each in first.env or ()},
            pod.service_account_name,
        )

    async def service(self) -> ServiceFacts | Unread | None:
        """Return our Service."""
        found = await self._ours("/api/v1", "services/userquota", _Service, right="get services")
        if not isinstance(found, _Service):
            return found
        return ServiceFacts(tuple(each.port for each in found.spec.ports or ()), tuple(found.spec.ip_families or ()))

    async def endpoints(self) -> EndpointFacts | Unread | None:
        """Return the addresses behind our Service, by its EndpointSlices."""
        found = await self._ours(
            "/apis/discovery.k8s.io/v1",
            "endpointslices",
            _Slices,
            right="list endpointslices.discovery.k8s.io",
            query={"labelSelector": "kubernetes.io/service-name=userquota"},
        )
        if not isinstance(found, _Slices):
            return found
        ready = [
            # A condition that is not told counts as ready. Source: discovery/v1 EndpointConditions.
            each.conditions is None or each.conditions.ready is not False
            for item in found.items or ()
            for each in item.endpoints or ()
            for _ in each.addresses or ()
        ]
        return EndpointFacts(ready.count(True), ready.count(False))

    async def view(self, name: str) -> ViewFacts | Unread | None:
        """Return the APIService *name*."""
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/{name}"
        found = await self.read(path, _ApiService, right="get apiservices.apiregistration.k8s.io")
        if not isinstance(found, _ApiService):
            return found
        trouble = next(
            (
                each.message or "no reason is told"
                for each in found.status.conditions or ()
                if each.type == "Available" and each.status != "True"
            ),
            "",
        )
        return ViewFacts(bool(found.spec.ca_bundle), trouble)

    async def secret(self, name: str) -> Mapping[str, bytes] | Unread | None:
        """Return the data of a Secret of our namespace."""
        found = await self._ours("/api/v1", f"secrets/{name}", _Secret, right="get secrets")
        return (found.data or {}) if isinstance(found, _Secret) else found

    async def template(self) -> Mapping[str, Any] | None:
        """Return the spec of the pods of our Deployment as it is stored, None if it cannot be read."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments/userquota"
        try:
            body: dict[str, Any] = msgspec.json.decode(await self._api.get(path))
        except ApiError:
            return None
        spec: dict[str, Any] = body["spec"]["template"]["spec"]
        return spec

    async def try_pod(self, namespace: str, spec: Mapping[str, Any], stamp: str) -> Trial | Unread:
        """Return what the API server answers to a pod with *spec*, in a dry run; *stamp* is an annotation."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "userquota-doctor-", "labels": {"app.kubernetes.io/name": "userquota-doctor"}},
            "spec": spec,
        }
        path, begun = f"/api/v1/namespaces/{namespace}/pods", time.monotonic()
        try:
            answer = await self._api.create(
                path, msgspec.json.encode(pod), query={"dryRun": "All"}, timeout=_TRIAL_SECONDS
            )
            tried = msgspec.json.decode(answer, type=_Tried)
        except UnreachableError as error:
            return Unread(str(error))
        except ApiError as error:
            if isinstance(error, ForbiddenError) and _NO_RIGHT.search(error.whole):
                return Unread(f"you may not create pods in {namespace}", f"create pods in {namespace}")
            return Trial(namespace, " ".join(error.whole.split()) or str(error), seconds=time.monotonic() - begun)
        except msgspec.MsgspecError as error:
            return Unread(f"the answer to a pod in {namespace} cannot be read: {error}")
        own = {each["name"] for each in (*spec["containers"], *spec.get("initContainers", ()))}
        return Trial(
            namespace,
            is_stamped=stamp in (tried.metadata.annotations or {}),
            added=tuple(
                each.name
                for each in (*(tried.spec.init_containers or ()), *(tried.spec.containers or ()))
                if each.name not in own
            ),
            seconds=time.monotonic() - begun,
        )

    async def account_lacks(self, account: str, rules: Sequence[tuple[Right, str]]) -> tuple[str, ...] | Unread:
        """Return which of *rules*, rights and names of objects, the service account does not have, in their order."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{self._namespace}", "system:authenticated")
        caller = Caller(f"system:serviceaccount:{self._namespace}:{account}", groups)
        rights, turns = CallersRights(self._api), asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def ask(right: Right, name: str) -> bool:
            async with turns:
                return await rights.may(caller, right.verb, right.resource, namespace=right.namespace, name=name)

        try:
            answers = await asyncio.gather(*(ask(*each) for each in rules))
        except UnavailableError as error:
            if isinstance(error.__cause__, ForbiddenError):
                right = "create subjectaccessreviews.authorization.k8s.io"
                return Unread(f"you may not {right}", right)
            return Unread(str(error))
        return tuple(_named(*rule) for rule, is_allowed in zip(rules, answers, strict=True) if not is_allowed)

    async def read(
        self, path: str, shape: type[T], *, right: str, query: Mapping[str, str] | None = None
    ) -> T | Unread | None:
        """Return the object at *path*, None if it is not there; *right* is what it takes, in words."""
        try:
            return msgspec.json.decode(await self._api.get(path, query=query or {}), type=shape)
        except NotFoundError:
            return None
        except ForbiddenError:
            return Unread(f"you may not {right}", right)
        except ApiError as error:
            return Unread(str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Unread(f"{path} cannot be read: {error}")

    async def _ours(
        self, version: str, path: str, shape: type[T], *, right: str, query: Mapping[str, str] | None = None
    ) -> T | Unread | None:
        where = f"{version}/namespaces/{self._namespace}/{path}"
        return await self.read(where, shape, right=f"{right} in {self._namespace}", query=query)


def _room(quota: _Quota) -> Mapping[str, int]:
    used = quota.status.used or {}
    return {
        name: _number(hard) - _number(used.get(name, "0"))
        for name, hard in (quota.spec.hard or {}).items()
        if name.startswith("count/") or "." not in name
    }


def _number(text: str) -> int:
    """Return the whole number in a quantity; the API server stores no other for a count."""
    try:
        return parse(text).nanos // NANOS
    except QuantityError:
        return 0


def _named(right: Right, name: str) -> str:
    resource = f"{right.resource} {name}" if name else right.resource
    return f"{right.verb} {resource} in {right.namespace or 'the whole cluster'}"
