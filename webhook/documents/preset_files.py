"""
The presets that are shipped: one YAML file each in `presets/`, as plain values. `preset_schema` has what they mean.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from webhook.documents import yaml_text
from webhook.documents.tree import JsonValue, plain

_ENDING = ".yaml"


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Return the names of all shipped presets, sorted."""
    folder = files("webhook.documents") / "presets"
    return tuple(sorted(each.name.removesuffix(_ENDING) for each in folder.iterdir() if each.name.endswith(_ENDING)))


@lru_cache(maxsize=64)
def definition(name: str) -> dict[str, JsonValue]:
    """Return what the file of the shipped preset *name* says. Raises: KeyError."""
    if name not in names():
        raise KeyError(name)
    roots, mistakes = yaml_text.read_documents(text(name), source=name)
    values = plain(roots[0]) if len(roots) == 1 and not mistakes else None
    if not isinstance(values, dict):
        raise TypeError(f"shipped preset {name}: {mistakes}")
    return values


def text(name: str) -> str:
    """Return the file of the shipped preset *name*."""
    return (files("webhook.documents") / "presets" / f"{name}{_ENDING}").read_text(encoding="utf-8")
