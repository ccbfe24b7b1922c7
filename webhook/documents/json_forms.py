"""
What the readers of a policy take, as JSON Schema: pydantic knows only what they make of it.

A form refuses nothing that its reader takes. `policy_json_schema` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from webhook.quota import resources
from webhook.quota.durations import TIMES

_QUANTITY = r"[+-]?(?=\.?[0-9])[0-9]*\.?[0-9]*([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?"
_SHARE = r"([0-9]+\+)?[0-9]+/[0-9]+"
_PARAMETERISED = r"[./]|^hugepages-"
"""What every name of a resource has that is not in the list of names."""


_PERIOD_PART = "[0-9]{1,6} (year|month|day|hour)s?"
PERIOD: JsonSchemaValue = {"type": "string", "pattern": f"^{_PERIOD_PART}(, *{_PERIOD_PART})*$"}


def words(listed: Iterable[str | bool]) -> WithJsonSchema:
    """Return the form of one of some words."""
    return WithJsonSchema({"enum": list(listed)})


def text(pattern: str) -> WithJsonSchema:
    """Return the form of a text that has *pattern* in it."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


def whole(form: re.Pattern[str]) -> WithJsonSchema:
    """Return the form of a text that is *form* from its beginning to its end."""
    return text(f"^({form.pattern})$")


def _amount(pattern: str) -> JsonSchemaValue:
    return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^({pattern})$"}]}


HARD_AMOUNT = _amount(f"unlimited|{_QUANTITY}")
LOGICAL_AMOUNT = _amount(f"unlimited|{_SHARE}|{_QUANTITY}")

UNITS: JsonSchemaValue = {"anyOf": [{"type": "integer", "minimum": 0}, {"const": "unlimited"}]}


_COUNTED = {
    "accelerator": "Accelerators that are no GPUs, as the sum of devices by their weights.",
    "cpu": "Requests of CPU, short for `requests.cpu`.",
    "duration": "How long a session may run, as `8h`, or in whole seconds.",
    "ephemeral-storage": "Requests of local storage, short for `requests.ephemeral-storage`.",
    "gpu": "GPUs, as the sum of devices and parts of devices by their weights.",
    "idle": "How long a session may be idle, as `30m`, or in whole seconds.",
    "limits.cpu": "Limits of CPU.",
    "limits.ephemeral-storage": "Limits of local storage.",
    "limits.memory": "Limits of memory.",
    "memory": "Requests of memory, short for `requests.memory`.",
    "persistentvolumeclaims": "The number of PersistentVolumeClaims.",
    "pods": "The number of pods that have not ended.",
    "requests.cpu": "Requests of CPU.",
    "requests.ephemeral-storage": "Requests of local storage.",
    "requests.memory": "Requests of memory.",
    "requests.storage": "The storage that PersistentVolumeClaims ask for.",
    "sessions": "The number of sessions of the presets that the policy names.",
    "storage": "The storage that PersistentVolumeClaims ask for, short for `requests.storage`.",
}


def _counted(name: str, form: JsonSchemaValue) -> JsonSchemaValue:
    return {"description": _COUNTED[name], **form}


def _hard_list() -> JsonSchemaValue:
    names = resources.known_names()
    amounts: Mapping[bool, JsonSchemaValue] = {True: LOGICAL_AMOUNT, False: HARD_AMOUNT}
    return {
        "type": "object",
        "description": "Amounts by resource: 0 forbids, absent inherits, unlimited lifts what would be inherited.",
        "properties": {name: _counted(name, amounts[name in resources.LOGICAL]) for name in names},
        "propertyNames": {"anyOf": [{"enum": list(names)}, {"pattern": _PARAMETERISED}]},
        "additionalProperties": {"description": "An amount of this resource, or a number of objects.", **HARD_AMOUNT},
    }


HARD_LIST = _hard_list()
TIME_LIMIT: JsonSchemaValue = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": "^(unlimited|([0-9.]+(h|ms|m|s|us|\u00b5s|\u03bcs|ns))+)$"},
    ]
}


def _session_list() -> JsonSchemaValue:
    times = {name: _counted(name, TIME_LIMIT) for name in sorted(TIMES)}
    names = {"anyOf": [{"enum": sorted(TIMES)}, *HARD_LIST["propertyNames"]["anyOf"]]}
    return {**HARD_LIST, "properties": {**HARD_LIST["properties"], **times}, "propertyNames": names}


SESSION_LIST = _session_list()
DEFAULT_AMOUNT = _amount(_QUANTITY)
WEIGHT: JsonSchemaValue = {
    "description": "The part of one whole device that a unit of this name is, as `1/4`. 0 says that it is no device.",
    **_amount(rf"{_SHARE}|[0-9]+(\.[0-9]+)?"),
}
TIME: JsonSchemaValue = {
    "type": "string",
    "description": "A time with its zone, as in 2027-01-31T00:00:00Z.",
    "pattern": r"([Zz]|[+-][0-9:.]+)$",
}
NAME = text(r"^\S([\s\S]*\S)?$")
PATH: JsonSchemaValue = {"type": "string"}
CONSTANT: JsonSchemaValue = {"type": ["string", "integer", "boolean"]}
EXPRESSION: JsonSchemaValue = {"type": ["string", "integer"]}
SOURCE: JsonSchemaValue = {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": EXPRESSION}]}
