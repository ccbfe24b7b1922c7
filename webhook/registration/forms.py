"""
What of a webhook configuration is ours to write, in each of the two ways the API server can find us.

Pure: what is wanted and as whom, not whether it is there.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from webhook.registration.manifest import API_VERSION, RegistrationError, WebhookManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A field manager of its own for the one field of an installed configuration that is ours: applying the manifests again,
# with any tool, then neither removes it nor conflicts with it.
BUNDLE_MANAGER: Final = "userquota-ca"
WHOLE_MANAGER: Final = "userquota"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    One configuration as it has to be.

    *fields* are those of each webhook's ``clientConfig`` that must be as here, by webhook name; *body* is what
    server-side apply makes them so with, under *manager*. Not *creatable*: others install it, and must have done so.
    """

    manifest: WebhookManifest
    fields: Mapping[str, Mapping[str, str]]
    body: bytes
    manager: str
    creatable: bool


class Form(Protocol):
    """A way to be found."""

    def wanted(self) -> Sequence[Wanted]:
        """Give every configuration as it has to be now."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceForm:
    """
    Be called through the Service: the manifests are installed by others, and only their caBundle is ours.

    *ca_bundle* is asked each time. While it is empty nothing is ours at all.
    """

    manifests: Sequence[WebhookManifest]
    ca_bundle: Callable[[], bytes]

    def wanted(self) -> Sequence[Wanted]:
        """Give every configuration, each with the caBundle and nothing else."""
        trust = _trust(self.ca_bundle())
        return [self._of(manifest, trust) for manifest in self.manifests]

    @staticmethod
    def _of(manifest: WebhookManifest, trust: Mapping[str, str]) -> Wanted:
        body = {
            "apiVersion": API_VERSION,
            "kind": manifest.kind,
            "metadata": {"name": manifest.name},
            "webhooks": [{"name": name, "clientConfig": trust} for name in manifest.paths],
        }
        fields = dict.fromkeys(manifest.paths, trust)
        return Wanted(manifest, fields, msgspec.json.encode(body), BUNDLE_MANAGER, creatable=False)


@dataclass(frozen=True, slots=True)
class UrlForm:
    """
    Be called at *url* plus each webhook's path: the whole of the manifests is ours to write.

    Raises: RegistrationError for a URL that the API server would not take.
    """

    manifests: Sequence[WebhookManifest]
    ca_bundle: Callable[[], bytes]
    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise RegistrationError(f"the advertised URL {self.url} is not https://HOST[:PORT][/PATH]")
        if parts.query or parts.fragment or parts.username is not None:
            raise RegistrationError(f"the advertised URL {self.url} may have no user, query or fragment")

    def wanted(self) -> Sequence[Wanted]:
        """Give every configuration whole, with the URL in the place of the Service."""
        trust = _trust(self.ca_bundle())
        return [self._of(manifest, trust) for manifest in self.manifests]

    def _of(self, manifest: WebhookManifest, trust: Mapping[str, str]) -> Wanted:
        base = self.url.rstrip("/")
        fields = {name: {"url": f"{base}{path}", **trust} for name, path in manifest.paths.items()}
        webhooks = [{**item, "clientConfig": fields[item["name"]]} for item in manifest.body["webhooks"]]
        body = msgspec.json.encode({**manifest.body, "webhooks": webhooks})
        return Wanted(manifest, fields, body, WHOLE_MANAGER, creatable=True)


def _trust(bundle: bytes) -> Mapping[str, str]:
    return {"caBundle": base64.b64encode(bundle).decode()} if bundle else {}
