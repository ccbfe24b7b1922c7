"""
The ConfigMap that holds the ledger's text, and the sink of the watch on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from webhook.kube.api import (
    MERGE_PATCH,
    METADATA_ONLY,
    UNREADABLE,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubernetesApi,
    NotFoundError,
    version_read,
)
from webhook.ledger.ledger_object import StoredText, SwapConflictError
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

NAME: Final = "userquota-ledger"
_KEY: Final = "ledger"
MANAGER: Final = "userquota"
"""
Our name in `managedFields`: the first word of our user agent. A text that another client wrote is not used, even if its
checksum is right: it may be an old one.
"""

_WRITER: Final = "userquota.dev/writer"
_TURN: Final = "userquota.dev/turn"
_TIMEOUT: Final = 4.0
"""Seconds: less than the 4.5 in which an admission review has to be answered."""
_NO_SPACE: Final = "mvcc: database space exceeded"
"""What etcd answers once it is full. The API server passes it on as an internal error."""

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
        """Return what is stored. A GET without a resource version goes to etcd's quorum. See `LedgerObject.read`."""
        try:
            body = await self._api.get(f"{self._collection}/{self._name}", timeout=_TIMEOUT)
        except NotFoundError:
            return None
        except ApiError as error:
            raise _unavailable("read", error) from error
        return as_stored(_decoded(body))

    async def request_turn(self, replica: str) -> StoredText | None:
        """Annotate the ConfigMap. A patch without a version is never in conflict. See `LedgerObject.request_turn`."""
        patch = msgspec.json.encode({"metadata": {"annotations": {_TURN: replica}}})
        path = f"{self._collection}/{self._name}"
        try:
            body = await self._api.patch(path, patch, content_type=MERGE_PATCH, timeout=_TIMEOUT)
        except NotFoundError:
            return None
        except ApiError as error:
            raise _unavailable("claimed", error) from error
        return as_stored(_decoded(body))

    async def create(self, text: str) -> StoredText:
        """Create the ConfigMap. See `LedgerObject.create`."""
        try:
            body = await self._api.create(self._collection, self._body(text), timeout=_TIMEOUT)
        except AlreadyExistsError as error:
            raise SwapConflictError(str(error)) from error
        except ApiError as error:
            raise _unavailable("created", error) from error
        return as_stored(_decoded(body))

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        """
        Replace the text. See `LedgerObject.swap`.

        The conflict may be with our own write, sent twice by the transport: the caller reads again in any case.
        """
        precondition = {"uid": after.uid, "resourceVersion": str(after.version)}
        try:
            body = await self._api.replace(
                f"{self._collection}/{self._name}",
                self._body(text, annotations={_WRITER: writer}, **precondition),
                accept=METADATA_ONLY,
                timeout=_TIMEOUT,
            )
        except (ConflictError, NotFoundError) as error:
            raise SwapConflictError(str(error)) from error
        except ApiError as error:
            raise _unavailable("written", error) from error
        meta = _decoded(body).metadata
        return StoredText(text, meta.uid, version_read(meta.resource_version), writer)

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
    """Sink of a watch on that one ConfigMap: it saves a read where another replica has written."""

    def __init__(self, *, on_seen: Callable[[StoredText], None], on_gone: Callable[[str], None]) -> None:
        """Call *on_seen* with every version, *on_gone* with the uid of an object that was deleted."""
        self._on_seen = on_seen
        self._on_gone = on_gone

    def started(self) -> None:
        """Do nothing: a list shows one object or none."""

    def seen(self, item: StoredConfigMap) -> None:
        """Pass on what is stored."""
        self._on_seen(as_stored(item))

    def gone(self, item: StoredConfigMap) -> None:
        """Pass on that it was deleted."""
        self._on_gone(item.metadata.uid)

    def synced(self, resource_version: int) -> None:
        """Do nothing: the ledger reads for itself whether there is an object."""

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far this watch is does not matter."""


def as_stored(item: StoredConfigMap) -> StoredText:
    """Return the text of a ConfigMap, empty if it has none, and what the API server knows of it."""
    meta = item.metadata
    annotations = meta.annotations or {}
    writer, next_writer = annotations.get(_WRITER, ""), annotations.get(_TURN, "")
    owners = [each.manager for each in meta.managed_fields or () if f"f:{_KEY}" in each.fields.data]
    written_by_other = next((owner for owner in owners if owner != MANAGER), "")
    return StoredText(
        (item.data or {}).get(_KEY, ""),
        meta.uid,
        version_read(meta.resource_version),
        writer,
        next_writer,
        written_by_other,
    )


def _decoded(body: bytes) -> StoredConfigMap:
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise UnavailableError(
            "ledger-read", f"the ledger cannot be read: the answer is no ConfigMap: {error}"
        ) from error


def _unavailable(done: str, error: ApiError) -> UnavailableError:
    """Return the error that the ledger cannot be *done*; `everywhere` if each API server would answer the same."""
    reason = "ledger-read" if done == "read" else "ledger-write"
    everywhere = isinstance(error, ForbiddenError | InvalidError) or _NO_SPACE in error.message
    return UnavailableError(reason, f"the ledger cannot be {done}: {error}", affects_all=everywhere)
