"""
What the audit logs of the API servers say: which writes failed, when, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from nemesis.accounting import Key, excesses

_TOLERATED = "validate.userquota.dev/tolerated"


@dataclass(frozen=True, slots=True)
class Write:
    """One answered write; `at` is the wall clock when it was answered. `kind` is `pods`, or `deployments/scale`."""

    at: float
    user: str
    verb: str
    kind: str
    namespace: str
    name: str
    code: int
    message: str
    is_tolerated: bool

    @property
    def exceeded(self) -> set[Key]:
        """Return the limits that a refusal names."""
        return {each.key for each in excesses(self.message)}

    def __str__(self) -> str:
        what = f"{self.user} {self.verb} {self.kind} {self.namespace}/{self.name}"
        return f"{what}: {self.code} {self.message[:600]}"


def writes(logs: Iterable[Path]) -> Iterator[Write]:
    """Yield every write of the *logs*, log by log."""
    for path in logs:
        with path.open("rb") as file:
            for line in file:
                yield _write(msgspec.json.decode(line))


def _write(said: dict[str, Any]) -> Write:
    where, answer, notes = said.get("objectRef", {}), said.get("responseStatus", {}), said.get("annotations", {})
    user = said.get("impersonatedUser") or said["user"]
    return Write(
        at=datetime.fromisoformat(said["stageTimestamp"]).timestamp(),
        user=user["username"],
        verb=said["verb"],
        kind="/".join(filter(None, (where.get("resource", ""), where.get("subresource", "")))),
        namespace=where.get("namespace", ""),
        name=where.get("name", ""),
        code=answer.get("code", 0),
        message=answer.get("message", ""),
        is_tolerated=_TOLERATED in notes,
    )
