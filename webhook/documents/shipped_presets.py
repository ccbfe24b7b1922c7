"""
The shipped presets, and items of a policy's list that name or change one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidatorFunctionWrapHandler, WrapValidator

from webhook.documents import json_forms, preset_files
from webhook.documents.mark_schema import Written
from webhook.documents.preset_schema import PresetPart
from webhook.quota.presets import Preset

_BASE = "preset"


def read_preset(value: Any, read_part: ValidatorFunctionWrapHandler) -> Any:
    """
    Return an item of `sessions.presets`: the name of a shipped preset, a shipped one with fields of its own, or an own.
    """
    if isinstance(value, str) and not isinstance(value, Written):
        return read_part(shipped_definition(value))
    if isinstance(value, dict) and _BASE in value:
        base = shipped_definition(value[_BASE])
        return read_part({**base, **{name: each for name, each in value.items() if name != _BASE}})
    return read_part(value)


class _Inherited(BaseModel):
    """A shipped preset with fields of its own, as far as an editor has to know it."""

    preset: Annotated[str, json_forms.words(preset_files.names())] = Field(
        description="The name of a shipped preset; the other fields replace those that it has."
    )


PresetItem = Annotated[
    PresetPart,
    WrapValidator(
        read_preset,
        json_schema_input_type=Annotated[str, json_forms.words(preset_files.names())] | _Inherited | PresetPart,
    ),
]
"""An item of `sessions.presets`."""


def shipped_definition(name: Any) -> dict[str, Any]:
    """Return what the file of a shipped preset says; one may begin with another. Raises: ValueError."""
    if not isinstance(name, str):
        raise ValueError("expected the name of a shipped preset")  # noqa: TRY004 - as above
    if name not in preset_files.names():
        raise ValueError(f"unknown session preset {name}")
    own = dict(preset_files.definition(name))
    base = own.pop(_BASE, None)
    return {**preset_files.definition(base), **own} if isinstance(base, str) else own


@lru_cache(maxsize=64)
def shipped(name: str) -> Preset:
    """Return the shipped preset *name*. Raises: ValueError if there is none."""
    return PresetPart.model_validate(shipped_definition(name)).preset
