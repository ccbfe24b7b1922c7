"""
Webhook configurations, of the manifests and of the API server, as far as registering has to know them.

Nothing is read or written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from webhook.ports import WebhookError

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION: Final = "admissionregistration.k8s.io/v1"
_RESOURCES: Final = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}


class RegistrationError(WebhookError):
    """A webhook configuration is not as it must be; one line that says what to do."""


@dataclass(frozen=True, slots=True)
class WebhookManifest:
    """A webhook configuration as ``manifests/`` has it, in the Service form; *paths* are by webhook name."""

    kind: str
    name: str
    paths: Mapping[str, str]
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def address(self) -> str:
        """Its path in the API."""
        return f"/apis/{API_VERSION}/{_RESOURCES[self.kind]}/{self.name}"


class _Service(msgspec.Struct):
    path: str


class _ClientConfig(msgspec.Struct):
    url: str = ""
    ca_bundle: str = msgspec.field(name="caBundle", default="")
    service: _Service | None = None


class _Webhook(msgspec.Struct):
    name: str
    client_config: _ClientConfig = msgspec.field(name="clientConfig")


class _Metadata(msgspec.Struct):
    name: str


class _Configuration(msgspec.Struct):
    metadata: _Metadata
    webhooks: list[_Webhook] = []
    kind: str = ""


def read_manifest(body: Mapping[str, Any]) -> WebhookManifest:
    """Give the webhook configuration in a parsed manifest. Raises: RegistrationError when it is none."""
    try:
        read = msgspec.convert(body, _Configuration)
    except msgspec.ValidationError as error:
        raise RegistrationError(f"no manifest of a webhook configuration: {error}") from error
    if read.kind not in _RESOURCES:
        raise RegistrationError(f"no manifest of a webhook configuration: its kind is {read.kind!r}")
    paths = {item.name: item.client_config.service.path for item in read.webhooks if item.client_config.service}
    return WebhookManifest(read.kind, read.metadata.name, paths, body)


def client_configs(answer: bytes) -> dict[str, dict[str, str]]:
    """Give URL and caBundle of each webhook of a stored configuration, by name; empty where there is none."""
    webhooks = msgspec.json.decode(answer, type=_Configuration).webhooks
    return {item.name: {"url": item.client_config.url, "caBundle": item.client_config.ca_bundle} for item in webhooks}
