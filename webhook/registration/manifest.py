"""
The webhook configurations that this version was made with, as far as registering has to know them.

Nothing is read or written here; how the API server has them: see ``live``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from webhook.ports import WebhookError

API_VERSION: Final = "admissionregistration.k8s.io/v1"
POLICY_WEBHOOK: Final = "policies.userquota.dev"
"""The one that hears of the policy alone, in our own namespace; all others exempt that."""

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
    def collection(self) -> str:
        """The path of its kind in the API."""
        return f"/apis/{API_VERSION}/{_RESOURCES[self.kind]}"

    @property
    def address(self) -> str:
        """Its path in the API."""
        return f"{self.collection}/{self.name}"


class _Service(msgspec.Struct):
    path: str


class _ClientConfig(msgspec.Struct):
    service: _Service


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
    """
    Return the webhook configuration in a parsed manifest.

    Raises: RegistrationError when it is none, or when a webhook names no path of the Service.
    """
    try:
        read = msgspec.convert(body, _Configuration)
    except msgspec.ValidationError as error:
        raise RegistrationError(f"no manifest of a webhook configuration: {error}") from error
    if read.kind not in _RESOURCES:
        raise RegistrationError(f"no manifest of a webhook configuration: its kind is {read.kind!r}")
    paths = {item.name: item.client_config.service.path for item in read.webhooks}
    return WebhookManifest(read.kind, read.metadata.name, paths, body)
