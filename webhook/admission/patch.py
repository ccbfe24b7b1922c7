"""The patch that fills in what containers do not declare. What is filled in is decided in `kinds`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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


def _texts(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}
