"""
The manifests this version was made with, read from where it is installed or from the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from webhook.documents import tree, yaml_text
from webhook.documents.tree import JsonValue
from webhook.registration.manifest import WebhookManifest, read_manifest

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "manifests", _PACKAGE.parent / "manifests")  # installed from a wheel; run from a checkout


def folder() -> Path:
    """Return the folder of the manifests, a kustomize base."""
    return next(each for each in _FOLDERS if (each / "kustomization.yaml").is_file())


def view() -> list[dict[str, Any]]:
    """Return the objects of the API group by which people see their quotas, parsed: who may ask it, and where it is."""
    names = ("clusterrole-view-own", "clusterrolebinding-view-own", "clusterrole-view-all", "apiservice")
    return [_parsed(folder() / f"{name}.yaml") for name in names]


def roles() -> list[dict[str, Any]]:
    """Return the ClusterRole and the Role that userquota cannot do without, parsed."""
    return [_parsed(folder() / f"{name}.yaml") for name in ("clusterrole", "role")]


def deployment() -> dict[str, Any]:
    """Return the Deployment, parsed."""
    return _parsed(folder() / "deployment.yaml")


def webhook_configurations() -> list[dict[str, JsonValue]]:
    """Return both webhook configurations, parsed."""
    names = ("mutatingwebhookconfiguration.yaml", "validatingwebhookconfiguration.yaml")
    return [_parsed(folder() / name) for name in names]


def webhook_manifests() -> list[WebhookManifest]:
    """Return both webhook configurations, read and checked. Raises: RegistrationError."""
    return [read_manifest(body) for body in webhook_configurations()]


def _parsed(path: Path) -> dict[str, JsonValue]:
    (root,), _ = yaml_text.read_documents(path.read_text(encoding="utf-8"), source=path.name)
    body = tree.plain(root)
    assert isinstance(body, dict)  # noqa: S101 - our own file
    return body
