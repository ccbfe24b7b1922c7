"""
Webhook configurations as the API server has them, where every optional field may be absent or null.

What they ought to be is for ``forms``; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from webhook.kube.api import KubernetesApi, NotFoundError
from webhook.quota.errors import UNREADABLE
from webhook.registration.manifest import RegistrationError, WebhookManifest


class Requirement(msgspec.Struct, frozen=True):
    """One expression of a label selector."""

    key: str
    operator: str
    values: list[str] | None = None


class Selector(msgspec.Struct, frozen=True, rename="camel"):
    """A label selector: an object has to meet all of it."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


@dataclass(frozen=True, slots=True)
class LiveWebhook:
    """
    One webhook of a stored configuration; *host*, *url*, *path* and *ca_bundle* are empty where they are absent.

    *host* is the name by which the API server calls. Without a *path* it calls the Service at ``/``. *body* is all of
    the webhook, with the API server's defaults.
    """

    name: str
    host: str = ""
    url: str = ""
    path: str = ""
    ca_bundle: bytes = b""
    namespace_selector: Selector = Selector()  # noqa: RUF009 - frozen
    body: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class _Service(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    path: str | None = None

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc" if self.name and self.namespace else ""


class _ClientConfig(msgspec.Struct):
    url: str | None = None
    ca_bundle: bytes | None = msgspec.field(name="caBundle", default=None)  # base64, which msgspec decodes
    service: _Service | None = None


class _Webhook(msgspec.Struct, rename="camel"):
    name: str
    client_config: _ClientConfig | None = None
    namespace_selector: Selector | None = None


class _Configuration(msgspec.Struct):
    webhooks: list[dict[str, Any]] | None = None


def parse(answer: bytes, *, source: str) -> Mapping[str, LiveWebhook]:
    """
    Return the webhooks of a stored configuration by name.

    Raises: RegistrationError when the API server's *answer* has another shape; *source* names the object.
    """
    try:
        bodies = msgspec.json.decode(answer, type=_Configuration).webhooks or ()
        webhooks = [_webhook(msgspec.convert(body, _Webhook), body) for body in bodies]
    except UNREADABLE as error:
        raise RegistrationError(f"{source}: the API server's answer cannot be read: {error}") from error
    return {each.name: each for each in webhooks}


async def read(api: KubernetesApi, manifest: WebhookManifest) -> Mapping[str, LiveWebhook] | None:
    """Return the webhooks by name, None where there is no such configuration. Raises: ApiError, RegistrationError."""
    try:
        return parse(await api.get(manifest.address), source=str(manifest))
    except NotFoundError:
        return None


def named(
    manifests: Sequence[WebhookManifest], found: Mapping[str, Mapping[str, LiveWebhook] | None]
) -> Mapping[str, LiveWebhook | None]:
    """Return each webhook that *manifests* name, None where it was not *found*; *found* is by kind."""
    return {name: (found.get(manifest.kind) or {}).get(name) for manifest in manifests for name in manifest.paths}


def _webhook(item: _Webhook, body: Mapping[str, Any]) -> LiveWebhook:
    config = item.client_config or _ClientConfig()
    of_url = urlsplit(config.url).hostname if config.url else None
    return LiveWebhook(
        item.name,
        host=of_url or (config.service.host if config.service else ""),
        url=config.url or "",
        path=(config.service and config.service.path) or "",
        ca_bundle=config.ca_bundle or b"",
        namespace_selector=item.namespace_selector or Selector(),
        body=body,
    )
