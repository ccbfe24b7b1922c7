"""How long a session may run, and may be idle, by the fields that its preset names."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.kinds.field_values import scalar
from webhook.kinds.session_fields import Scope
from webhook.quota import durations
from webhook.quota.durations import DurationError, Times
from webhook.quota.field_paths import Path
from webhook.quota.presets import Preset


def times(preset: Preset, root: Scope) -> Times:
    """
    Return the times that the session at *root* sets, and those that it leaves open.

    What cannot be read is open, and so is a 0, which platforms take for no bound: nothing but a cap asks for more.
    """
    asked, left_open = [], []
    for name, path in preset.times.items():
        try:
            longest = max(_found(path, root), default=None)
        except DurationError as error:
            left_open.append((name, f"{path} ({error})"))
            continue
        if longest:
            asked.append((name, longest))
        else:
            left_open.append((name, f"{path} (0 is no bound)" if longest == 0 else str(path)))
    return Times(tuple(asked), tuple(left_open))


def _found(path: Path, root: Scope) -> Iterator[int]:
    for found in root.find(path):
        written = scalar(found.raw)
        if found.is_null:
            continue
        if written is None or isinstance(written, bool):
            raise DurationError(found.raw.decode(errors="replace"), "expected a text such as 8h, or whole seconds")
        yield durations.parse(written)
