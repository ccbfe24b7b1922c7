"""
Lists of objects' metadata, page by page, live from the API. What the objects are made of is not sent.

Keeping in step with them is the task of `object_sink`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

import msgspec

from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.kube.api import ApiError, KubernetesApi, NotFoundError
from webhook.ledger.usage_audit import Listing
from webhook.ports import UnavailableError
from webhook.quota.objects import AnyObject, ObjectKey, ObjectMeta, Shape, StoredVersion

_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE_SIZE = 500


class PageMeta(Shape, frozen=True):
    """The metadata of a page; `next_page` is empty on the last one."""

    resource_version: int
    next_page: str = msgspec.field(name="continue", default="")


class Page(Shape, frozen=True):
    """Some of the objects that were there at one version; all pages of a list show the same one."""

    metadata: PageMeta
    items: list[AnyObject] | None = None


class UnservedError(UnavailableError):
    """The API has no such kind, so that no object of it exists."""


_decoder = msgspec.json.Decoder(Page, strict=False)  # a version is a number in a string


async def read_page(api: KubernetesApi, kind: AnyKind, *, limit: int = _PAGE_SIZE, after: str = "") -> Page:
    """
    Return *limit* objects of *kind* in all namespaces, those *after* another page, past every cache.

    Raises: UnservedError, UnavailableError.
    """
    query = {"limit": str(limit)} | ({"continue": after} if after else {})
    try:
        return _decoder.decode(await api.get(kind.collection, query=query, accept=_METADATA_LIST))
    except NotFoundError as error:
        if not kind.group:  # every API server has the core group: something else has answered
            raise UnavailableError("api-server", f"{kind.resource} could not be listed: {error}") from error
        raise UnservedError("unserved", f"the API does not serve {kind.resource} ({kind.api_version})") from error
    except ApiError as error:
        raise UnavailableError("api-server", f"{kind.resource} could not be listed: {error}") from error
    except msgspec.MsgspecError as error:
        why = f"{kind.resource} could not be listed: the answer is no list: {error}"
        raise UnavailableError("api-server", why) from error


async def read_pages(api: KubernetesApi, kind: AnyKind) -> AsyncIterator[Page]:
    """
    Return all objects of *kind*, no page for one that the API does not serve.

    Raises: UnavailableError, also if it takes longer than etcd remembers.
    """
    try:
        page = await read_page(api, kind)
    except UnservedError:
        return
    yield page
    while page.metadata.next_page:
        page = await read_page(api, kind, after=page.metadata.next_page)
        yield page


@dataclass(frozen=True, slots=True)
class ListedObjects:
    """The objects of one kind that count, as they were stored at `version`."""

    kind: AnyKind
    version: int
    objects: tuple[ObjectMeta, ...]

    def by_key(self) -> dict[ObjectKey, StoredVersion]:
        """Return uid and version of each under its key."""
        return {
            ObjectKey(self.kind.resource, each.namespace, each.name): StoredVersion(
                each.uid, int(each.resource_version)
            )
            for each in self.objects
        }


class ObjectList:
    """Port `Lister`. A list without a resource version goes to etcd's quorum; its pages show one version."""

    def __init__(self, api: KubernetesApi, *, kinds: Registry, exempt: Container[str]) -> None:
        """List objects of *kinds* through *api*, and leave out those in *exempt* namespaces."""
        self._api = api
        self._kinds = kinds
        self._exempt = exempt

    async def read(self, kind: AnyKind) -> ListedObjects:
        """Return all objects of *kind* that count. Raises: UnavailableError, also if the pages take too long."""
        version, found = 0, list[ObjectMeta]()
        async for page in read_pages(self._api, kind):
            version = page.metadata.resource_version
            found += (each.metadata for each in page.items or () if self._counts(kind, each.metadata))
        return ListedObjects(kind, version, tuple(found))

    async def listing(self, resource: str) -> Listing:
        """Return keys, uids and versions. See `Lister.listing`."""
        kind = self._kinds.of_resource(resource)
        if kind is None:
            raise UnavailableError("unknown-kind", f"{resource} is no kind of this version")
        listed = await self.read(kind)
        return Listing(resource, listed.version, await asyncio.to_thread(listed.by_key))

    def _counts(self, kind: AnyKind, meta: ObjectMeta) -> bool:
        return meta.namespace not in self._exempt and not kind.evaluator.is_excepted(meta, None)
