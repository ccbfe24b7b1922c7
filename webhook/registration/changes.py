"""
Watches our webhook configurations, so that a change is looked at when it is made and not at the next regular look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webhook.kube.api import KubernetesApi
from webhook.kube.reflector import Reflector
from webhook.quota.objects import Shape
from webhook.registration.manifest import WebhookManifest


class ConfigurationMeta(Shape, frozen=True, gc=False):
    """The metadata of a webhook configuration."""

    resource_version: str = ""


class Configuration(Shape, frozen=True, gc=False):
    """A webhook configuration: that it has changed is all that is asked."""

    metadata: ConfigurationMeta = ConfigurationMeta()


class ConfigurationChanges:
    """The sink of the watch on one configuration: calls *on_change* for each change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change

    def started(self) -> None:
        """Do nothing: what a list shows is a change if it is one."""

    def seen(self, item: Configuration) -> None:  # noqa: ARG002 - that something changed is all that matters
        """Report a change."""
        self._on_change()

    def gone(self, item: Configuration) -> None:  # noqa: ARG002 - as above
        """Report a change."""
        self._on_change()

    def synced(self, resource_version: int) -> None:
        """Do nothing: each look reads the configurations."""

    def reached(self, resource_version: int) -> None:
        """Do nothing: each look reads the configurations."""


def watches(
    api: KubernetesApi, manifests: Sequence[WebhookManifest], on_change: Callable[[], None]
) -> tuple[Reflector[Configuration], ...]:
    """Return a watch on each configuration of *manifests*; its API server may be another than the one that is read."""
    return tuple(
        Reflector(
            api,
            manifest.collection,
            Configuration,
            ConfigurationChanges(on_change),
            query={"fieldSelector": f"metadata.name={manifest.name}"},
            resource=manifest.kind,
        )
        for manifest in manifests
    )
