"""Kubeconfigs for tests: made up, or those of a control plane with another user; and the client that reads one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from webhook.kube.api import KubernetesApi


def kubeconfig(server: str = "https://127.0.0.1:1", *, user: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": dict(user or {"token": "t"})}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }


def written(document: object, folder: Path) -> Path:
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def with_user(original: Path, folder: Path, user: Mapping[str, Any]) -> Path:
    """Return a copy of *original*, in *folder*, whose user has these credentials."""
    document = yaml.safe_load(original.read_text())
    document["users"][0]["user"] = dict(user)
    return written(document, folder)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig=path)
    try:
        yield api
    finally:
        await api.close()
