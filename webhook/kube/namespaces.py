"""
The labels of namespaces, from a watch; a namespace too young for the watch is read live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec

from webhook.kube.api import ApiError, KubernetesApi, NotFoundError
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape


class LabelledMeta(Shape, frozen=True, gc=False):
    """The metadata of a namespace."""

    name: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class Namespace(Shape, frozen=True, gc=False):
    """A namespace."""

    metadata: LabelledMeta = LabelledMeta()


_decoder = msgspec.json.Decoder(Namespace)


class NamespaceLabels:
    """Port `Namespaces`, and the sink of the watch that keeps it."""

    def __init__(self, api: KubernetesApi, *, on_change: Callable[[], None]) -> None:
        """Call *on_change* whenever labels differ from before, so that tenants can be worked out anew."""
        self._api = api
        self._on_change = on_change
        self._labels: dict[str, Mapping[str, str]] = {}
        self._listed: set[str] | None = None

    def known(self, name: str) -> Mapping[str, str]:
        """Give the labels as far as they are known; none for a namespace nobody told of."""
        return self._labels.get(name, {})

    async def labels(self, name: str) -> Mapping[str, str]:
        """Give the labels of a namespace, read live if the watch has not told of it yet. See `Namespaces.labels`."""
        labels = self._labels.get(name)
        if labels is not None:
            return labels
        try:
            body = await self._api.get(f"/api/v1/namespaces/{quote(name)}")
        except NotFoundError as error:
            raise UnavailableError("namespace", f"namespace {name} is not there") from error
        except ApiError as error:
            raise UnavailableError("api-server", f"namespace {name} could not be read: {error}") from error
        self._learn(name, _decoder.decode(body).metadata.labels or {})
        return self._labels[name]

    def started(self) -> None:
        """Begin a full list."""
        self._listed = set()

    def seen(self, item: Namespace) -> None:
        """Learn a namespace's labels."""
        if self._listed is not None:
            self._listed.add(item.metadata.name)
        self._learn(item.metadata.name, item.metadata.labels or {})

    def gone(self, item: Namespace) -> None:
        """Forget a namespace."""
        self._labels.pop(item.metadata.name, None)

    def synced(self, resource_version: int) -> None:  # noqa: ARG002 - labels of any age are told apart by the API
        """Forget what the list did not show."""
        for name in self._labels.keys() - (self._listed or set()):
            del self._labels[name]
        self._listed = None

    def reached(self, resource_version: int) -> None:
        """Nothing depends on how far this watch is."""

    def _learn(self, name: str, labels: Mapping[str, str]) -> None:
        before = self._labels.get(name)
        if before != labels:
            self._labels[name] = labels
            if before is not None or labels:
                self._on_change()
