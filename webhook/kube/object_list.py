"""
Lists of objects, page by page, live from the API: of their metadata, or as the API sends them.

Keeping in step with them is the task of `object_sink`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.kube.api import JSON, UNREADABLE, ApiError, KubernetesApi, NotFoundError, version_read
from webhook.ledger.usage_audit import Listing
from webhook.ports import UnavailableError
from webhook.quota.objects import AnyObject, ObjectKey, ObjectMeta, Shape, StoredVersion

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to accept for a list of objects without spec and status."""

_PAGE_SIZE = 500
_PATIENCE = 60.0
"""Seconds for a page of whole objects, which may have ten megabytes: nobody waits for the answer but the caller."""


class PageMeta(Shape, frozen=True):
    """The metadata of a page; `next_page` is empty on the last one."""

    resource_version: int
    next_page: str = msgspec.field(name="continue", default="")


class Page(Shape, frozen=True):
    """Some of the objects that were there at one version; all pages of a list show the same one."""

    metadata: PageMeta
    items: list[AnyObject] | None = None


class RawPage(Shape, frozen=True):
    """Some objects as they were sent: JSON that lies in the memory of the whole page."""

    metadata: PageMeta
    items: list[msgspec.Raw] | None = None


class UnservedError(UnavailableError):
    """The API has no such kind, so that no object of it exists."""


_decoder = msgspec.json.Decoder(Page, strict=False)  # a version is a number in a string
_raw_decoder = msgspec.json.Decoder(RawPage, strict=False)


async def read_page(
    api: KubernetesApi, kind: AnyKind, *, namespace: str = "", limit: int = _PAGE_SIZE, after: str = ""
) -> Page:
    """
    Return *limit* objects of *kind* in *namespace*, by default in all, those *after* another page, past every cache.

    Raises: UnservedError, UnavailableError.
    """
    query = {"limit": str(limit)} | ({"continue": after} if after else {})
    path = kind.collection_in(quote(namespace, safe="")) if namespace else kind.collection
    with _translated(kind.collection, kind.resource):
        return _decoder.decode(await api.get(path, query=query, accept=METADATA_LIST))


async def read_pages(api: KubernetesApi, kind: AnyKind, *, namespace: str = "") -> AsyncIterator[Page]:
    """
    Return all objects of *kind* in *namespace*, by default in all; no page for a kind that the API does not serve.

    Raises: UnavailableError, also if it takes longer than etcd remembers.
    """
    try:
        page = await read_page(api, kind, namespace=namespace)
    except UnservedError:
        return
    yield page
    while page.metadata.next_page:
        page = await read_page(api, kind, namespace=namespace, after=page.metadata.next_page)
        yield page


async def read_raw_pages(
    api: KubernetesApi, collection: str, *, resource: str, accept: str = JSON
) -> AsyncIterator[list[msgspec.Raw]]:
    """
    Return all objects of *collection*, a path, at one version; *resource* is its name in errors.

    Raises: UnservedError; UnavailableError, also if it takes longer than etcd remembers.
    """
    after = ""
    while True:
        query = {"limit": str(_PAGE_SIZE)} | ({"continue": after} if after else {})
        with _translated(collection, resource):
            page = _raw_decoder.decode(await api.get(collection, query=query, accept=accept, timeout=_PATIENCE))
        yield page.items or []
        after = page.metadata.next_page
        if not after:
            return


@contextmanager
def _translated(collection: str, resource: str) -> Iterator[None]:
    """Raise UnservedError or UnavailableError for what the read of a page raises."""
    try:
        yield
    except NotFoundError as error:
        if not collection.startswith("/apis/"):  # every API server has the core group: something else has answered
            raise UnavailableError("api-server", f"{resource} could not be listed: {error}") from error
        version = collection.removeprefix("/apis/").rpartition("/")[0]
        raise UnservedError("unserved", f"the API does not serve {resource} ({version})") from error
    except ApiError as error:
        raise UnavailableError("api-server", f"{resource} could not be listed: {error}") from error
    except UNREADABLE as error:
        why = f"{resource} could not be listed: the answer is no list: {error}"
        raise UnavailableError("api-server", why) from error


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
                each.uid, version_read(each.resource_version)
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
