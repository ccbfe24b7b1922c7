"""
Pods that are sessions themselves, as JupyterHub makes them: which of them, by the presets of kind Pod.

Such a pod costs what it costs, and its place in `sessions`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from webhook.kinds.field_values import FieldError
from webhook.kinds.pod_shapes import PodMeta
from webhook.kinds.session_fields import FieldTree, holds
from webhook.kinds.session_marks import NamespaceTexts, first, steps_of
from webhook.quota.field_paths import Name, Path
from webhook.quota.presets import Preset

_READ = (Name("labels"), Name("ownerReferences"))


class SessionPods:
    """Tells which pods are sessions. Any number of threads may call it."""

    def __init__(self, presets: Iterable[Preset]) -> None:
        """Match by *presets* of pods. Raises: FieldError if one matches by more than labels and owner references."""
        self.presets = tuple(presets)
        for each in self.presets:
            check_match(each)
        self._matches = [
            (each.match, FieldTree([condition.field.steps for condition in each.match], [])) for each in self.presets
        ]
        self._categories = [FieldTree(list(steps_of(each.category)), []) for each in self.presets]

    def __contains__(self, meta: PodMeta) -> bool:
        return self._index(meta) is not None

    def category(self, meta: PodMeta, body: bytes) -> str | None:
        """
        Return the category of a session, whose JSON is *body*, empty if it has none; None for a pod that is no session.

        Raises: UncountableError.
        """
        index = self._index(meta)
        if index is None:
            return None
        said = first(self.presets[index].category, self._categories[index].decode(body), NamespaceTexts())
        return "" if said is None else said.text

    def _index(self, meta: PodMeta) -> int | None:
        """Return which preset matches first."""
        if not self._matches:
            return None
        body = b'{"metadata":{"labels":%b,"ownerReferences":%b}}' % (
            bytes(meta.labels) or b"{}",
            msgspec.json.encode(meta.owner_references or []),
        )
        for index, (match, tree) in enumerate(self._matches):
            root = tree.decode(body, {})
            if all(holds(condition, root) for condition in match):
                return index
        return None


def check_match(preset: Preset) -> None:
    """Check what a preset of pods matches by. Raises: FieldError: only labels and owner references are read."""
    for condition in preset.match:
        if not _is_read(condition.field):
            raise FieldError(
                f"match: pods match by metadata.labels and metadata.ownerReferences, not by {condition.field}"
            )


def _is_read(path: Path) -> bool:
    return path.steps[0] == Name("metadata") and len(path.steps) > 1 and path.steps[1] in _READ
