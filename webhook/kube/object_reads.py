"""
What is read live from the API, past every cache: owners, whether something is really stored, and how far the store is.
"""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import quote

import msgspec

from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.kube.api import JSON, METADATA_ONLY, UNREADABLE, ApiError, KubernetesApi, NotFoundError, version_read
from webhook.kube.object_list import read_page, read_pages
from webhook.ports import UnavailableError
from webhook.quota.objects import AnyObject, ObjectKey, ObjectMeta, StoredVersion

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", re.ASCII)
"""
A DNS subdomain, like every name that is read here. Owner references may name anything: `web/scale` would be read as the
Scale of `web`, which has its uid and no stamp, because the API server takes a quoted slash for a slash.
"""

T = TypeVar("T")


class ObjectReads:
    """Ports `Ancestry` and `QuorumReader`. A GET without a resource version goes to etcd's quorum."""

    def __init__(self, api: KubernetesApi, kinds: Registry) -> None:
        """Read objects of *kinds* through *api*."""
        self._api = api
        self._kinds = kinds

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of an owner. See `Ancestry.read`."""
        if not _NAME.fullmatch(name):
            return None
        found = await self._get(kind.path(quote(namespace), name), AnyObject, accept=METADATA_ONLY)
        return None if found is None else found.metadata

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:
        """Return more than the metadata of an owner. See `Ancestry.read_whole`."""
        return await self._get(kind.path(quote(namespace), name), shape) if _NAME.fullmatch(name) else None

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        """Return uid and version of the object that holds *key*. See `QuorumReader.version_of`."""
        meta = await self.read(self._kind(key.resource), key.namespace, key.name)
        return StoredVersion(meta.uid, version_read(meta.resource_version)) if meta is not None else None

    async def newest_version(self, resource: str) -> int:
        """Return the highest version of any object of *resource*. See `QuorumReader.newest_version`."""
        newest = 0
        async for page in read_pages(self._api, self._kind(resource)):
            newest = max((newest, *(version_read(item.metadata.resource_version) for item in page.items or ())))
        return newest

    async def store_version(self) -> int:
        """
        Return the version that the store is at, whatever was written last. Raises: UnavailableError.

        All API servers answer with at least what any of them answered before, unless the store was restored from a
        backup.
        """
        return (await read_page(self._api, self._kinds.charged[0], limit=1)).metadata.resource_version

    def _kind(self, resource: str) -> AnyKind:
        kind = self._kinds.of_resource(resource)
        if kind is None:
            raise UnavailableError("unknown-kind", f"{resource} is no kind of this version")
        return kind

    async def _get(self, path: str, shape: type[T], *, accept: str = JSON) -> T | None:
        try:
            return msgspec.json.decode(await self._api.get(path, accept=accept), type=shape)
        except NotFoundError:
            return None
        except (ApiError, *UNREADABLE) as error:
            raise UnavailableError("api-server", f"{path} could not be read: {error}") from error
