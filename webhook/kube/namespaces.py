"""
The labels of namespaces: from the watch, and by a live read for a namespace that the watch has not shown yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi, NotFoundError
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

_LONGEST_NAME = 253
"""Characters. Longer annotations cannot be names and are not kept: tools write whole manifests into some."""


class LabelledMeta(Shape, frozen=True, gc=False):
    """The metadata of a namespace."""

    name: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class Namespace(Shape, frozen=True, gc=False):
    """A namespace."""

    metadata: LabelledMeta = LabelledMeta()


_decoder = msgspec.json.Decoder(Namespace)


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    is_going: bool


@dataclass(slots=True)
class _Reads:
    """How many reads of one namespace are under way, and the version at which it was seen to be gone meanwhile."""

    under_way: int = 0
    gone_at: int = 0


class NamespaceLabels:
    """
    Port `Namespaces`, and the sink of the watch that keeps it. Belongs to one event loop.

    Neither the watch nor a live read is always ahead of the other: the higher resource version counts.
    """

    def __init__(self, api: KubernetesApi, *, on_change: Callable[[str], None]) -> None:
        """Call *on_change* with the name of each namespace whose labels changed: who pays in it may have, too."""
        self._api = api
        self._on_change = on_change
        self._known: dict[str, _Known] = {}
        self._reads: dict[str, _Reads] = {}
        self._listed: set[str] | None = None

    def known(self, name: str) -> Mapping[str, str]:
        """Return the labels as far as they are known; none for a namespace that is not known."""
        known = self._known.get(name)
        return {} if known is None else known.labels

    def names(self) -> tuple[str, ...]:
        """Return the names of the namespaces that are known."""
        return tuple(self._known)

    async def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace, by a live read if it is not known yet. See `Namespaces.labels`."""
        return (await self._current(name)).labels

    async def annotations(self, name: str) -> Mapping[str, str]:
        """Return the annotations of a namespace that may hold a name. See `Namespaces.annotations`."""
        return (await self._current(name)).annotations

    async def _current(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is not None:
            return known
        reads = self._reads.setdefault(name, _Reads())
        reads.under_way += 1
        try:
            read = await self._read(name)
        finally:
            reads.under_way -= 1
            if not reads.under_way:
                del self._reads[name]
        if read.version > reads.gone_at:
            self._learn(name, read)
        known = self._known.get(name)
        if known is None:
            raise UnavailableError("namespace", f"namespace {name} is not there: it went while it was read")
        return known

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: Namespace) -> None:
        """Record a namespace's labels."""
        if self._listed is not None:
            self._listed.add(item.metadata.name)
        self._learn(item.metadata.name, _known(item))

    def gone(self, item: Namespace) -> None:
        """Forget a namespace."""
        self._forget(item.metadata.name, at=int(item.metadata.resource_version))

    def synced(self, resource_version: int) -> None:
        """Forget what the list did not show, unless it is newer than the list."""
        for name in (self._known.keys() | self._reads.keys()) - (self._listed or set()):
            self._forget(name, at=resource_version)
        self._listed = None

    def reached(self, resource_version: int) -> None:
        """Do nothing: how far the watch is does not matter."""

    async def is_being_deleted(self, name: str) -> bool:
        """
        Return whether a namespace is gone or going, by a live read unless the watch has shown it.

        The right to read may have gone with the rest already. Raises: UnavailableError.
        """
        known = self._known.get(name)
        if known is not None and known.is_going:
            return True
        try:
            return (await self._live(name)).metadata.deletion_timestamp is not None
        except NotFoundError:
            return True

    async def _read(self, name: str) -> _Known:
        try:
            return _known(await self._live(name))
        except NotFoundError as error:
            raise UnavailableError("namespace", f"namespace {name} is not there") from error

    async def _live(self, name: str) -> Namespace:
        """Read a namespace. Raises: NotFoundError; UnavailableError."""
        try:
            found = _decoder.decode(await self._api.get(f"/api/v1/namespaces/{quote(name, safe='')}"))
            int(found.metadata.resource_version)
        except NotFoundError:
            raise
        except ApiError as error:
            raise UnavailableError("api-server", f"namespace {name} could not be read: {error}") from error
        except (*UNREADABLE, ValueError) as error:
            why = f"namespace {name} could not be read: the answer is no namespace: {error}"
            raise UnavailableError("api-server", why) from error
        return found

    def _learn(self, name: str, new: _Known) -> None:
        before = self._known.get(name)
        if before is not None and before.version >= new.version:
            return
        self._known[name] = new
        if new.labels != ({} if before is None else before.labels):
            self._on_change(name)

    def _forget(self, name: str, *, at: int) -> None:
        reads = self._reads.get(name)
        if reads is not None:
            reads.gone_at = max(at, reads.gone_at)
        known = self._known.get(name)
        if known is None or known.version > at:
            return
        del self._known[name]
        if known.labels:
            self._on_change(name)


def _known(item: Namespace) -> _Known:
    """Return version, labels and short annotations. Raises: ValueError if the version is no number."""
    meta = item.metadata
    annotations = {key: value for key, value in (meta.annotations or {}).items() if len(value) <= _LONGEST_NAME}
    return _Known(int(meta.resource_version), meta.labels or {}, annotations, meta.deletion_timestamp is not None)
