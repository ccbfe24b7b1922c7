"""
Live reads from the API, past every cache: owners, what is stored under a name, and the version that the store is at.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

from webhook.kube.api import METADATA_ONLY, ApiError, KubernetesApi, NotFoundError
from webhook.kube.object_list import read_page, read_pages
from webhook.ports import UnavailableError
from webhook.quota.objects import AnyObject, ObjectKey, ObjectKind, ObjectMeta, StoredVersion

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", re.ASCII)
"""
A DNS subdomain, like every name that is read here. Owner references may name anything: `web/scale` would be read as the
Scale of `web`, which has its uid and no stamp, because the API server takes a quoted slash for a slash.
"""

_decoder = msgspec.json.Decoder(AnyObject)


class ObjectReads:
    """Ports `Ancestry` and `QuorumReader`. A GET without a resource version goes to etcd's quorum."""

    def __init__(self, api: KubernetesApi) -> None:
        """Read through *api*."""
        self._api = api

    async def read(self, kind: ObjectKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of an owner, None if there is none. See `Ancestry.read`."""
        if not _NAME.fullmatch(name):
            return None
        root = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
        return await self._meta(f"{root}/namespaces/{quote(namespace)}/{kind.kind.lower()}s/{name}")

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:
        """Return uid and version of what is stored under a name. See `QuorumReader.version_of`."""
        if not _NAME.fullmatch(key.name):
            return None
        meta = await self._meta(f"/api/v1/namespaces/{quote(key.namespace)}/{key.resource}/{key.name}")
        return StoredVersion(meta.uid, int(meta.resource_version)) if meta is not None else None

    async def newest_version(self, resource: str) -> int:
        """Return the highest version of any object of *resource*. See `QuorumReader.newest_version`."""
        newest = 0
        async for page in read_pages(self._api, resource):
            newest = max((newest, *(int(item.metadata.resource_version) for item in page.items or ())))
        return newest

    async def store_version(self, resource: str) -> int:
        """
        Return the version that the store is at, whatever was written last. Raises: UnavailableError.

        No API server returns less than another one did before, unless the store was restored from a backup.
        """
        return (await read_page(self._api, resource, limit=1)).metadata.resource_version

    async def _meta(self, path: str) -> ObjectMeta | None:
        try:
            return _decoder.decode(await self._api.get(path, accept=METADATA_ONLY)).metadata
        except NotFoundError:
            return None
        except (ApiError, msgspec.MsgspecError) as error:
            raise UnavailableError("api-server", f"{path} could not be read: {error}") from error
