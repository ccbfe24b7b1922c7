"""
All pods that have to be on the book, listed live from the API at one version, without what they ask for.

Keeping in step with them is `pod_watch`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

import msgspec

from webhook.kinds.counted_objects import is_counted_object
from webhook.kinds.registry import PODS
from webhook.kube.api import ApiError, KubernetesApi
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


_decoder = msgspec.json.Decoder(Page, strict=False)  # a version is a number in a string


async def read_page(api: KubernetesApi, resource: str, *, limit: int = _PAGE_SIZE, after: str = "") -> Page:
    """
    Give *limit* objects of a core *resource* in all namespaces, those *after* another page, past every cache.

    Raises: UnavailableError.
    """
    query = {"limit": str(limit)} | ({"continue": after} if after else {})
    try:
        return _decoder.decode(await api.get(f"/api/v1/{resource}", query=query, accept=_METADATA_LIST))
    except ApiError as error:
        raise UnavailableError("api-server", f"{resource} could not be listed: {error}") from error
    except msgspec.MsgspecError as error:
        raise UnavailableError(
            "api-server", f"{resource} could not be listed: the answer is no list: {error}"
        ) from error


async def read_pages(api: KubernetesApi, resource: str) -> AsyncIterator[Page]:
    """Give all objects of a core *resource*. Raises: UnavailableError, also if it takes longer than etcd remembers."""
    page = await read_page(api, resource)
    yield page
    while page.metadata.next_page:
        page = await read_page(api, resource, after=page.metadata.next_page)
        yield page


@dataclass(frozen=True, slots=True)
class ListedObjects:
    """The pods that count, as they were stored at `version`."""

    version: int
    pods: tuple[ObjectMeta, ...]

    def by_name(self) -> dict[ObjectKey, StoredVersion]:
        """Give uid and version of each under its name."""
        return {
            ObjectKey(PODS, each.namespace, each.name): StoredVersion(each.uid, int(each.resource_version))
            for each in self.pods
        }


class ObjectList:
    """Port `Lister`, for pods. A list without a resource version goes to etcd's quorum; its pages show one version."""

    def __init__(self, api: KubernetesApi, *, exempt: Container[str]) -> None:
        """List through *api*, and leave out pods in *exempt* namespaces."""
        self._api = api
        self._exempt = exempt

    async def read(self) -> ListedObjects:
        """Give all pods that count. Raises: UnavailableError, also if the pages take longer than etcd remembers."""
        version, pods = 0, list[ObjectMeta]()
        async for page in read_pages(self._api, PODS):
            version = page.metadata.resource_version
            pods += (
                each.metadata for each in page.items or () if is_counted_object(each.metadata, exempt=self._exempt)
            )
        return ListedObjects(version, tuple(pods))

    async def listing(self, resource: str = PODS) -> Listing:
        """Give their names, uids and versions. See `Lister.listing`."""
        listed = await self.read()
        return Listing(resource, listed.version, await asyncio.to_thread(listed.by_name))
