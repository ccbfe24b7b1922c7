"""
What of a webhook configuration is ours to write, in each of the two ways the API server can call us.

Pure: what has to be written and as whom.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import msgspec

from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import API_VERSION, WebhookManifest

BUNDLE_MANAGER: Final = "userquota-ca"
"""
A field manager of its own for the one field of an installed configuration that is always ours: applying the manifests
again, with any tool, then neither removes it nor conflicts with it.
"""

PATH_MANAGER: Final = "userquota-path"
WHOLE_MANAGER: Final = "userquota"


@dataclass(frozen=True, slots=True)
class Write:
    """
    One server-side apply that is needed because fields of *webhooks* differ.

    Without *force* the API server refuses it where another field manager owns another value.
    """

    webhooks: tuple[str, ...]
    body: bytes
    manager: str
    force: bool


class Form(Protocol):
    """A way to be called by the API server."""

    @property
    def manifests(self) -> Sequence[WebhookManifest]:
        """The configurations of this version."""
        ...

    @property
    def installs(self) -> bool:
        """Whether what is missing is ours to create."""
        ...

    @property
    def advice(self) -> str:
        """What to do when the API server finds a write invalid."""
        ...

    def writes(
        self, manifest: WebhookManifest, live: Mapping[str, LiveWebhook], bundles: Mapping[str, bytes]
    ) -> Sequence[Write]:
        """Return what has to be written, nothing if *live* is right; *bundles* are by webhook, empty if not ours."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceForm:
    """
    Be called through the Service: the manifests are installed by others, and their caBundle is ours.

    The path of the Service belongs to those who apply the manifests. One that was removed is put back all the same,
    because the API server then calls ``/`` and every create fails. That overrides no other field manager: a removed
    field has no owner, and ours is applied without force, under a manager of its own, only when the path differs. A
    path that another manager wrote makes the apply conflict, and is reported instead: to force it would begin a fight,
    also between replicas of two versions with different paths.
    """

    manifests: Sequence[WebhookManifest]
    installs: ClassVar[bool] = False
    advice: ClassVar[str] = "if it was registered with --advertise-url, delete it and apply the manifests"

    def writes(
        self, manifest: WebhookManifest, live: Mapping[str, LiveWebhook], bundles: Mapping[str, bytes]
    ) -> Sequence[Write]:
        """Return the applies of caBundles and of paths, each for all webhooks of *manifest*."""
        trust = tuple(name for name, bundle in bundles.items() if live[name].ca_bundle != bundle)
        moved = tuple(name for name, path in manifest.paths.items() if live[name].path != path)
        found = []
        if trust:
            configs = {name: _trust(bundle) for name, bundle in bundles.items()}
            found.append(Write(trust, _partial(manifest, configs), BUNDLE_MANAGER, force=True))
        if moved:
            paths = {name: {"service": {"path": path}} for name, path in manifest.paths.items()}
            found.append(Write(moved, _partial(manifest, paths), PATH_MANAGER, force=False))
        return found


@dataclass(frozen=True, slots=True)
class UrlForm:
    """Be called at *url*, an ``https`` URL, plus each webhook's path: the whole of the manifests is ours to write."""

    manifests: Sequence[WebhookManifest]
    url: str
    installs: ClassVar[bool] = True
    advice: ClassVar[str] = "if it was installed to be called through a Service, delete it first"

    def writes(
        self, manifest: WebhookManifest, live: Mapping[str, LiveWebhook], bundles: Mapping[str, bytes]
    ) -> Sequence[Write]:
        """Return the apply of the whole configuration, with the URL in the place of the Service."""
        base = self.url.rstrip("/")
        urls = {name: f"{base}{path}" for name, path in manifest.paths.items()}
        differing = tuple(
            name
            for name, url in urls.items()
            if name not in live
            or live[name].url != url
            or bundles.get(name, live[name].ca_bundle) != live[name].ca_bundle
        )
        if not differing:
            return ()
        configs = {name: {"url": url, **_trust(bundles.get(name, b""))} for name, url in urls.items()}
        webhooks = [{**item, "clientConfig": configs[item["name"]]} for item in manifest.body["webhooks"]]
        body = msgspec.json.encode({**manifest.body, "webhooks": webhooks})
        return (Write(differing, body, WHOLE_MANAGER, force=True),)


def partial_body(manifest: WebhookManifest, webhooks: Iterable[Mapping[str, object]]) -> bytes:
    """Return the body of an apply that says of a configuration nothing but these *webhooks*, or fields of them."""
    metadata = {"name": manifest.name}
    return msgspec.json.encode(
        {"apiVersion": API_VERSION, "kind": manifest.kind, "metadata": metadata, "webhooks": list(webhooks)}
    )


def _partial(manifest: WebhookManifest, configs: Mapping[str, Mapping[str, object]]) -> bytes:
    return partial_body(manifest, ({"name": name, "clientConfig": config} for name, config in configs.items()))


def _trust(bundle: bytes) -> Mapping[str, str]:
    return {"caBundle": base64.b64encode(bundle).decode()} if bundle else {}
