"""
Lists of objects' metadata, page by page, live from the API. What the objects are made of is not sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from webhook.adapters.kubernetes_api import ApiError, KubernetesApi
from webhook.ports import NotReadyError
from webhook.quota.podspec import AnyObject, Shape

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

    Raises: NotReadyError.
    """
    query = {"limit": str(limit)} | ({"continue": after} if after else {})
    try:
        return _decoder.decode(await api.get(f"/api/v1/{resource}", query=query, accept=_METADATA_LIST))
    except ApiError as error:
        raise NotReadyError("api-server", f"{resource} could not be listed: {error}") from error
    except msgspec.MsgspecError as error:
        raise NotReadyError("api-server", f"{resource} could not be listed: the answer is no list: {error}") from error


async def read_pages(api: KubernetesApi, resource: str) -> AsyncIterator[Page]:
    """Give all objects of a core *resource*. Raises: NotReadyError, also if it takes longer than etcd remembers."""
    page = await read_page(api, resource)
    yield page
    while page.metadata.next_page:
        page = await read_page(api, resource, after=page.metadata.next_page)
        yield page
