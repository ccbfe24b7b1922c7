"""
All pods that have to be on the book, listed live from the API at one version, without what they ask for.

Keeping in step with them is `pod_watch`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass

from webhook.adapters.kubernetes_api import KubernetesApi
from webhook.adapters.metadata_list import read_pages
from webhook.admission.booked import is_booked
from webhook.admission.kinds import PODS
from webhook.quota.charge import Slot
from webhook.quota.drift import Listing
from webhook.quota.podspec import ObjectMeta


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
        version, pods = 0, list[ObjectMeta]()
        async for page in read_pages(self._api, PODS):
            version = page.metadata.resource_version
            pods += (each.metadata for each in page.items or () if is_booked(each.metadata, exempt=self._exempt))
        return ListedPods(version, tuple(pods))

    async def listing(self, resource: str = PODS) -> Listing:
        """Give their names, uids and versions. See `Lister.listing`."""
        listed = await self.read()
        return Listing(resource, listed.version, await asyncio.to_thread(listed.by_name))
