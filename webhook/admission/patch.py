"""
The patch that fills in what containers do not declare, and what an object is once a patch of ours is applied.

What is filled in is decided in `kinds`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import msgspec

from webhook.admission.review import AdmissionResponse
from webhook.quota.missing import Filling
from webhook.quota.objects import PatchOperation
from webhook.quota.quantity import Quantity


def filling_in(filling: Filling) -> Iterator[PatchOperation]:
    """Yield the changes that write *filling* into the object. Nothing that is there is replaced."""
    for part in filling.parts:
        if "resources" not in part.existing:
            yield PatchOperation(part.path, {each: _texts(amounts) for each, amounts in part.amounts.items()})
            continue
        for each, amounts in part.amounts.items():
            if each not in part.existing:
                yield PatchOperation(f"{part.path}/{each}", _texts(amounts))
            else:
                for name, text in _texts(amounts).items():
                    yield PatchOperation(f"{part.path}/{each}/{name}", text)


class _Step(msgspec.Struct, frozen=True):
    path: str
    value: Any = None


_decoder = msgspec.json.Decoder(tuple[_Step, ...])


def steps_of(response: AdmissionResponse) -> tuple[PatchOperation, ...]:
    """Return the patch of a *response* of ours: it adds, and takes away what has no value."""
    steps = _decoder.decode(base64.b64decode(response.patch)) if response.patch else ()
    return tuple(PatchOperation(each.path, each.value) for each in steps)


def applied(document: dict[str, Any], steps: Iterable[PatchOperation]) -> dict[str, Any]:
    """Return *document* with the *steps* of ours, whose paths exist but for the last field; lists are not changed."""
    result = deepcopy(document)
    for step in steps:
        *around, last = [each.replace("~1", "/").replace("~0", "~") for each in step.path.split("/")[1:]]
        target: Any = result
        for name in around:
            target = target[int(name)] if isinstance(target, list) else target[name]
        if step.value is None:
            del target[last]
        else:
            target[last] = step.value
    return result


def _texts(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}
