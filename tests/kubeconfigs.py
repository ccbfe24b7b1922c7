"""Kubeconfigs for tests: made up, or those of a control plane with another user."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


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
