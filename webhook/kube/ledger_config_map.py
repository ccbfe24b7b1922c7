"""
The ConfigMap that holds the ledger's text, and the sink of the watch on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from webhook.kube.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubernetesApi,
    NotFoundError,
)
from webhook.ledger.ledger_object import LostSwapError, StoredText
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

NAME: Final = "userquota-ledger"
_KEY: Final = "ledger"
MANAGER: Final = "userquota"
"""
What the API server calls us in `managedFields`: the first word of our user agent. A text that somebody else put there
is not believed, however right its checksum: it may be an old one.
"""

_WRITER: Final = "userquota.dev/writer"
_TURN: Final = "userquota.dev/turn"
_SECONDS: Final = 4.0
_NO_SPACE: Final = "mvcc: database space exceeded"
"""What etcd answers once it is full. The API server passes it on as one more internal error."""

_MERGE_PATCH: Final = "application/merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_LABELS: Final = {"app.kubernetes.io/name": "userquota", "app.kubernetes.io/component": "ledger"}


class _Fields(Shape, frozen=True):
    data: dict[str, msgspec.Raw] = msgspec.field(name="f:data", default_factory=dict)


class _Manager(Shape, frozen=True):
    manager: str = ""
    fields: _Fields = msgspec.field(name="fieldsV1", default=_Fields())


class _Meta(Shape, frozen=True):
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None
    managed_fields: list[_Manager] | None = None


class StoredConfigMap(Shape, frozen=True):
    """The ConfigMap, as far as it concerns us."""

    metadata: _Meta = _Meta()
    data: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(StoredConfigMap)


class LedgerConfigMap:
    """Port `LedgerObject`, over one ConfigMap."""

    def __init__(self, api: KubernetesApi, *, namespace: str, name: str = NAME) -> None:
        """Keep the text in *name*, which is made when there is none."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"

    async def read(self) -> StoredText | None:
        """Give what is stored. A GET without a resource version goes to etcd's quorum. See `LedgerObject.read`."""
        try:
            body = await self._api.get(f"{self._collection}/{self._name}", timeout=_SECONDS)
        except NotFoundError:
            return None
        except ApiError as error:
            raise _not_ready("read", error) from error
        return as_stored(_decoded(body))

    async def request_turn(self, replica: str) -> StoredText | None:
        """Annotate the ConfigMap. A patch without a version cannot lose. See `LedgerObject.request_turn`."""
        patch = msgspec.json.encode({"metadata": {"annotations": {_TURN: replica}}})
        path = f"{self._collection}/{self._name}"
        try:
            body = await self._api.patch(path, patch, content_type=_MERGE_PATCH, timeout=_SECONDS)
        except NotFoundError:
            return None
        except ApiError as error:
            raise _not_ready("claimed", error) from error
        return as_stored(_decoded(body))

    async def create(self, text: str) -> StoredText:
        """Make the ConfigMap. See `LedgerObject.create`."""
        try:
            body = await self._api.create(self._collection, self._body(text), timeout=_SECONDS)
        except AlreadyExistsError as error:
            raise LostSwapError(str(error)) from error
        except ApiError as error:
            raise _not_ready("created", error) from error
        return as_stored(_decoded(body))

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        """
        Replace the text. See `LedgerObject.swap`.

        A conflict may be with our own write, sent twice by the transport: the caller reads again in any case.
        """
        precondition = {"uid": after.uid, "resourceVersion": str(after.version)}
        try:
            body = await self._api.replace(
                f"{self._collection}/{self._name}",
                self._body(text, annotations={_WRITER: writer}, **precondition),
                accept=_METADATA_ONLY,
                timeout=_SECONDS,
            )
        except (ConflictError, NotFoundError) as error:
            raise LostSwapError(str(error)) from error
        except ApiError as error:
            raise _not_ready("written", error) from error
        meta = _decoded(body).metadata
        return StoredText(text, meta.uid, int(meta.resource_version), writer)

    def _body(self, text: str, **metadata: object) -> bytes:
        return msgspec.json.encode(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": self._name,
                    "namespace": self._namespace,
                    "labels": _LABELS,
                    **metadata,
                },
                "data": {_KEY: text},
            }
        )


class LedgerWatch:
    """The sink of a watch on that one ConfigMap: it spares a read where another replica wrote since."""

    def __init__(self, *, on_seen: Callable[[StoredText], None], on_gone: Callable[[str], None]) -> None:
        """Tell *on_seen* of every version, *on_gone* of the uid of an object that was deleted."""
        self._on_seen = on_seen
        self._on_gone = on_gone

    def started(self) -> None:
        """A list shows one object or none."""

    def seen(self, item: StoredConfigMap) -> None:
        """Pass on what is stored."""
        self._on_seen(as_stored(item))

    def gone(self, item: StoredConfigMap) -> None:
        """Pass on that it is stored no longer."""
        self._on_gone(item.metadata.uid)

    def synced(self, resource_version: int) -> None:
        """Whether it was in the list is found out by whoever needs it."""

    def reached(self, resource_version: int) -> None:
        """Nothing depends on how far this watch is."""


def as_stored(item: StoredConfigMap) -> StoredText:
    """Give the text of a ConfigMap, empty if it has none, and what the API server knows of it."""
    meta = item.metadata
    annotations = meta.annotations or {}
    writer, next_writer = annotations.get(_WRITER, ""), annotations.get(_TURN, "")
    owners = [each.manager for each in meta.managed_fields or () if f"f:{_KEY}" in each.fields.data]
    written_by_other = next((owner for owner in owners if owner != MANAGER), "")
    return StoredText(
        (item.data or {}).get(_KEY, ""), meta.uid, int(meta.resource_version), writer, next_writer, written_by_other
    )


def _decoded(body: bytes) -> StoredConfigMap:
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise UnavailableError("ledger-read", f"what came is no ConfigMap: {error}") from error


def _not_ready(done: str, error: ApiError) -> UnavailableError:
    """Say that the ledger cannot be *done*. What else an API server answers may be its own trouble, or its etcd's."""
    reason = "ledger-read" if done == "read" else "ledger-write"
    everywhere = isinstance(error, ForbiddenError | InvalidError) or _NO_SPACE in error.message
    return UnavailableError(reason, f"the ledger cannot be {done}: {error}", everywhere=everywhere)
