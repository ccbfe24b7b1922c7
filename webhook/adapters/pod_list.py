"""
All pods that have to be on the book, listed live from the API at one version, without what they ask for.

Keeping in step with them is `pod_watch`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass

import msgspec

from webhook.adapters.kubernetes_api import ApiError, KubernetesApi
from webhook.admission.booked import is_booked
from webhook.admission.kinds import PODS
from webhook.ports import NotReadyError
from webhook.quota.charge import Slot
from webhook.quota.drift import Listing
from webhook.quota.podspec import AnyObject, ObjectMeta, Shape

_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE_SIZE = "500"


class _PageMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    next_page: str = msgspec.field(name="continue", default="")


class _Page(Shape, frozen=True):
    metadata: _PageMeta
    items: list[AnyObject] | None = None


_decoder = msgspec.json.Decoder(_Page)


@dataclass(frozen=True, slots=True)
class ListedPods:
    """The pods that count, as they were stored at `version`."""

    version: int
    pods: tuple[ObjectMeta, ...]

    def by_name(self) -> dict[Slot, tuple[str, int]]:
        """Give uid and version of each under its name."""
        return {Slot(PODS, each.namespace, each.name): (each.uid, int(each.resource_version)) for each in self.pods}


class PodList:
    """Port `Lister`, for pods. A list without a resource version goes to etcd's quorum; its pages show one version."""

    def __init__(self, api: KubernetesApi, *, exempt: Container[str]) -> None:
        """List through *api*, and leave out pods in *exempt* namespaces."""
        self._api = api
        self._exempt = exempt

    async def read(self) -> ListedPods:
        """Give all pods that count. Raises: NotReadyError, also if the pages take longer than etcd remembers."""
        pods: list[ObjectMeta] = []
        query = {"limit": _PAGE_SIZE}
        while True:
            page = await self._page(query)
            pods += (each.metadata for each in page.items or () if is_booked(each.metadata, exempt=self._exempt))
            if not page.metadata.next_page:
                return ListedPods(int(page.metadata.resource_version), tuple(pods))
            query = {"limit": _PAGE_SIZE, "continue": page.metadata.next_page}

    async def listing(self, resource: str = PODS) -> Listing:
        """Give their names, uids and versions. See `Lister.listing`."""
        listed = await self.read()
        return Listing(resource, listed.version, await asyncio.to_thread(listed.by_name))

    async def _page(self, query: dict[str, str]) -> _Page:
        try:
            return _decoder.decode(await self._api.get("/api/v1/pods", query=query, accept=_METADATA_LIST))
        except ApiError as error:
            raise NotReadyError("api-server", f"pods could not be listed: {error}") from error
        except msgspec.MsgspecError as error:
            raise NotReadyError("api-server", f"pods could not be listed: the answer is no list: {error}") from error
