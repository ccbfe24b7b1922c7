"""
Asks the API group `view.userquota.dev`, for `userquota get`, `top`, `explain` and `check`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from webhook.admission.check_status import CheckStatus
from webhook.documents.object_text import RawObject
from webhook.kube.api import ActingAs, ApiError, ForbiddenError, KubernetesApi, NotFoundError, ServerError
from webhook.ports import WebhookError
from webhook.quota.subject import Subject
from webhook.view import wire
from webhook.view.field_selector import write_fields

_BASE = f"/apis/{wire.API_VERSION}"


class ViewError(WebhookError):
    """The API server did not answer what was asked. One line that says why, and what to do."""


class NoRightError(ViewError):
    """Whoever asks may not see that."""


class Limit(msgspec.Struct, frozen=True):
    """A row of `limits`; `hard` and what depends on it are None where nothing limits what is used."""

    subject: str
    resource: str
    used: str
    reserved: str
    hard: str | None = None
    free: str | None = None
    over: str | None = None
    scopes: str = ""
    mode: str = ""
    entry: str = ""
    place: str = ""
    rule: str = ""
    until: str = ""
    set_aside: str = msgspec.field(default="", name="setAside")

    @property
    def whom(self) -> str:
        """Return the subject as `chargedTo` of an allocation names it: with a selector before it."""
        return f"[{self.scopes}] {self.subject}" if self.scopes else self.subject


class Cap(msgspec.Struct, frozen=True):
    """A row of `caps`."""

    cap: str
    resource: str
    hard: str
    mode: str = ""
    entry: str = ""
    place: str = ""
    rule: str = ""
    until: str = ""


class Holding(msgspec.Struct, frozen=True):
    """A row of `holders`, or the status of a Holder."""

    resource: str
    namespace: str
    name: str
    created: str | None = None
    amounts: dict[str, str] = {}
    owner: str = ""


class Allocated(msgspec.Struct, frozen=True, rename="camel"):
    """A row of `allocations`, or the status of an Allocation."""

    resource: str
    namespace: str
    name: str
    owner: str
    state: str
    uid: str = ""
    created: str | None = None
    committed: dict[str, str] = {}
    reserved: dict[str, str] = {}
    other_owners: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    charged_to: tuple[str, ...] | None = None


class Sum(msgspec.Struct, frozen=True):
    """A row of `sums`."""

    resource: str
    committed: str
    reserved: str


class Allocations(msgspec.Struct, frozen=True):
    """The status of a SelfAllocation, or what an AllocationList has of it."""

    allocations: tuple[Allocated, ...] = ()
    sums: tuple[Sum, ...] = ()


class About(msgspec.Struct, frozen=True, rename="camel"):
    """What the policy says of a resource."""

    display_name: str = ""
    description: str = ""
    unit: str = ""


class Status(msgspec.Struct, frozen=True):
    """The status of a SelfQuota or a Quota."""

    limits: tuple[Limit, ...] = ()
    caps: tuple[Cap, ...] = ()
    holders: tuple[Holding, ...] = ()
    resources: dict[str, About] = {}
    user: str = ""
    exempt: str = ""


class PoolResource(msgspec.Struct, frozen=True):
    """A row of a Pool; `has` and `free` are None where there are no nodes to ask."""

    resource: str
    used: str
    reserved: str
    promised: str
    unused: str
    has: str | None = None
    free: str | None = None


class PoolStatus(msgspec.Struct, frozen=True):
    """The status of a Pool."""

    resources: tuple[PoolResource, ...] = ()


class OfferSpec(msgspec.Struct, frozen=True):
    """That a Commitment is offered, and until when; empty until it is withdrawn."""

    until: str = ""


class CommitmentSpec(msgspec.Struct, frozen=True, rename={"begins": "from", "node_class": "nodeClass"}):
    """The spec of a Commitment."""

    holder: str
    node_class: str
    amounts: dict[str, str]
    zone: str = ""
    begins: str = ""
    until: str = ""
    offer: OfferSpec | None = None


class CoveredObject(msgspec.Struct, frozen=True):
    """An object that a commitment covers, and how much of it."""

    resource: str
    namespace: str
    name: str
    owner: str
    amounts: dict[str, str]


class CommitmentStatus(msgspec.Struct, frozen=True):
    """The status of a Commitment; what it covers is told of one that is asked for by name."""

    state: str
    used: dict[str, str]
    place: str = ""
    covers: tuple[CoveredObject, ...] = ()


class NamedCommitment(msgspec.Struct, frozen=True):
    """A Commitment."""

    name: str
    spec: CommitmentSpec
    status: CommitmentStatus


Document = Mapping[str, Any]
"""An object as it was answered, for -o json and yaml."""


def statuses(document: Document) -> tuple[Status, ...]:
    """Return the status of an object, or those of a list of objects. Raises: ViewError if it is none of ours."""
    items = document.get("items", [document])
    return tuple(_read(each, Status) for each in items)


def holdings(document: Document) -> tuple[Holding, ...]:
    """Return the statuses of a HolderList. Raises: ViewError."""
    return tuple(_read(each, Holding) for each in document.get("items", ()))


def allocations_in(document: Document) -> Allocations:
    """Return what is in a SelfAllocation or an AllocationList. Raises: ViewError."""
    if "items" in document:
        rows = [each.get("status", {}) for each in document["items"]]
        document = {"status": {"allocations": rows, "sums": document.get("sums", ())}}
    found: Allocations = _read(document, Allocations)
    return found


def pools_in(document: Document) -> tuple[tuple[str, PoolStatus], ...]:
    """Return the pools of a PoolList by their names. Raises: ViewError."""
    return tuple((each["metadata"]["name"], _read(each, PoolStatus)) for each in document.get("items", ()))


def commitments_in(document: Document) -> tuple[NamedCommitment, ...]:
    """Return what is in a CommitmentList, or the one that *document* is. Raises: ViewError."""
    try:
        return tuple(
            NamedCommitment(
                each["metadata"]["name"], msgspec.convert(each["spec"], CommitmentSpec), _read(each, CommitmentStatus)
            )
            for each in document.get("items", (document,))
        )
    except (KeyError, msgspec.ValidationError) as error:
        raise ViewError(f"the answer has a Commitment of another form: {error}") from error


class ViewClient:
    """Asks one API server."""

    def __init__(self, api: KubernetesApi) -> None:
        """Ask *api*."""
        self._api = api

    @property
    def namespace(self) -> str:
        """The namespace that the kubeconfig's context names, `default` if it names none."""
        return self._api.namespace

    async def check(self, objects: Sequence[RawObject], namespace: str) -> CheckStatus:
        """
        Return whether *objects* would fit, in their order; those that name no namespace in this one.

        What is in ConfigMaps and Secrets is not sent: it costs nothing.
        """
        spec = {"namespace": namespace, "objects": [_without_data(each) for each in objects]}
        body = msgspec.json.encode({"apiVersion": wire.API_VERSION, "kind": "QuotaCheck", "spec": spec})
        if len(body) > wire.LARGEST_BODY:
            raise ViewError(f"more than the {wire.LARGEST_BODY >> 20} MiB that are checked at a time: give fewer files")
        document = await self._answer("POST", "quotachecks", body=body)
        status: CheckStatus = _read(document, CheckStatus)
        if len(status.items) != len(objects):
            raise ViewError(f"{len(objects)} objects were asked about, and {len(status.items)} were answered")
        return status

    async def own(self, namespace: str) -> Document:
        """Return the SelfQuota of whoever asks. Raises: ViewError, as all."""
        spec = {"namespace": namespace} if namespace else {}
        asked = {"apiVersion": wire.API_VERSION, "kind": "SelfQuota", "spec": spec}
        return await self._answer("POST", "selfquotas", body=msgspec.json.encode(asked))

    async def all(self) -> Document:
        """Return the QuotaList of all subjects."""
        return await self._answer("GET", "quotas")

    async def one(self, whom: str) -> Document:
        """Return the Quota of a subject, such as `user/alice`."""
        return await self._answer("GET", f"quotas/{quote(wire.name_of(Subject(whom)), safe=':@')}")

    async def holders(self, *, sort: str, limit: int, whom: str | None) -> Document:
        """Return the HolderList of those who hold most of *sort*."""
        query = {"sortBy": sort, "limit": str(limit)}
        if whom is not None:
            query["fieldSelector"] = f"spec.subject={whom}"
        return await self._answer("GET", "holders", query=query)

    async def pools(self) -> Document:
        """Return the PoolList."""
        return await self._answer("GET", "pools")

    async def commitments(self) -> Document:
        """Return the CommitmentList."""
        return await self._answer("GET", "commitments")

    async def commitment(self, name: str) -> Document:
        """Return the Commitment *name*, with what it covers."""
        return await self._answer("GET", f"commitments/{quote(name, safe='')}")

    async def own_allocations(self, *, namespace: str, resource: str, selector: str = "") -> Document:
        """Return the SelfAllocation of whoever asks, all its pages as one; empty is any."""
        wanted = {"namespace": namespace, "resource": resource, "selector": selector}
        spec = {name: value for name, value in wanted.items() if value}
        whole: dict[str, Any] | None = None
        rest = ""
        while whole is None or rest:
            asked = {**spec, "continue": rest} if rest else spec
            body = {"apiVersion": wire.API_VERSION, "kind": "SelfAllocation", "spec": asked}
            page = dict(await self._answer("POST", "selfallocations", body=msgspec.json.encode(body)))
            if page.get("spec", {}).get("selector", "") != selector:  # one that knows no tags would answer with all
                raise ViewError("the userquota of this cluster is older than this command: no allocations by tags")
            status = page.get("status", {})
            rest = status.pop("continue", "")
            if whole is None:
                whole = page
            else:
                whole["status"]["allocations"] += status.get("allocations", ())
        return whole

    async def allocations(self, *, namespace: str, fields: Mapping[str, str], selector: str = "") -> Document:
        """
        Return the AllocationList of what has these *fields*, and tags as *selector* says, all pages as one.

        Only of *namespace* unless it is empty.
        """
        path = f"namespaces/{quote(namespace, safe='')}/allocations" if namespace else "allocations"
        query = {"limit": "500", "fieldSelector": write_fields(fields)}
        if selector:
            query["labelSelector"] = selector
        whole: dict[str, Any] | None = None
        while whole is None or "continue" in query:
            page = dict(await self._answer("GET", path, query=query))
            query["continue"] = page.get("metadata", {}).pop("continue", "")
            if not query["continue"]:
                del query["continue"]
            if whole is None:
                whole = page
            else:
                whole["items"] += page.get("items", ())
        return whole

    async def _answer(
        self, method: str, path: str, *, body: bytes = b"", query: Mapping[str, str] | None = None
    ) -> Document:
        try:
            if method == "POST":
                answer = await self._api.create(f"{_BASE}/{path}", body)
            else:
                answer = await self._api.get(f"{_BASE}/{path}", query=query or {})
            return msgspec.json.decode(answer, type=dict[str, Any])
        except NotFoundError as error:
            if error.reason and path.startswith(("quotas/", "commitments/")):
                raise ViewError(error.message) from error
            if error.reason:
                resource = path.rpartition("/")[2]
                raise ViewError(f"the userquota of this cluster is older than this command: no {resource}") from error
            raise ViewError(
                f"the API server does not serve {wire.GROUP}: apply manifests/apiservice.yaml, see docs/view.md"
            ) from error
        except ForbiddenError as error:
            raise NoRightError(error.message) from error
        except ServerError as error:
            no_view = f"the API server reaches no replica that has a view ({error.status}), see docs/view.md"
            raise ViewError(f"userquota does not answer: {error.message if error.reason else no_view}") from error
        except ApiError as error:
            raise ViewError(error.whole if error.status == 400 else str(error)) from error
        except msgspec.MsgspecError as error:
            raise ViewError(f"{path}: the answer is no JSON object: {error}") from error


@asynccontextmanager
async def connected(
    kubeconfig: Path | None, context: str | None, acting_as: ActingAs | None
) -> AsyncIterator[ViewClient]:
    """Connect to a cluster. Raises: KubeconfigError."""
    api = await KubernetesApi.connect(kubeconfig=kubeconfig, context=context, acting_as=acting_as)
    try:
        yield ViewClient(api)
    finally:
        await api.close()


def _without_data(each: RawObject) -> Raw:
    if each.api_version != "v1" or each.kind not in {"ConfigMap", "Secret"}:
        return Raw(each.body)
    meta = {"name": each.name, **({"namespace": each.namespace} if each.namespace else {})}
    return Raw(msgspec.json.encode({"apiVersion": "v1", "kind": each.kind, "metadata": meta}))


def _read(item: Document, shape: type[Any]) -> Any:
    try:
        return msgspec.convert(item.get("status", {}), shape)
    except msgspec.ValidationError as error:
        raise ViewError(f"the answer does not fit this version of userquota: {error}") from error
