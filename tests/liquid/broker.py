"""A broker, which is the Go program beside this file: built from LIQUID's own declarations."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.go_programs import built_program

Step = dict[str, Any]
_FOLDER = Path(__file__).parent / "client"


@dataclass(frozen=True)
class Outcome:
    """What came of a step. `invalid` is what the module has against an answer, empty for none."""

    status: int
    content_type: str
    request_id: str
    retry_after: str
    text: str
    answer: Any
    invalid: str
    is_question: bool

    @property
    def is_plain(self) -> bool:
        return self.content_type.partition(";")[0] == "text/plain"


@dataclass(frozen=True)
class Broker:
    """
    Asks what is below `base`, an address without `/v1`, whose certificate is of the authority in the file `ca`.

    It shows a `token`, or the certificate and key in two files, or nothing.
    """

    base: str
    ca: Path
    token: str = ""
    shown: tuple[Path, Path] | None = None

    def do(self, *steps: Step) -> list[Outcome]:
        """Take all *steps* one after the other. The first info sets the version of what follows."""
        argv = [str(built_program(_FOLDER)), f"-base={self.base}", f"-ca={self.ca}", f"-token={self.token}"]
        if self.shown is not None:
            argv += [f"-cert={self.shown[0]}", f"-key={self.shown[1]}"]
        return _run(argv, steps)

    def one(self, step: Step) -> Outcome:
        """Read the info, and take one step."""
        info, found = self.do({"do": "info"}, step)
        assert (info.status, info.invalid) == (200, ""), info
        return found


def judged(*bodies: Any) -> list[bool]:
    """Return of each change of commitments whether the module says that it requires confirmation."""
    steps = [{"do": "judge", "body": each} for each in bodies]
    return [each.is_question for each in _run([str(built_program(_FOLDER))], steps)]


def raw(method: str, path: str, body: Any = None, **headers: str) -> Step:
    """Return a step that sends *body* as it is, below `base`."""
    step = {"do": "raw", "method": method, "path": path, "headers": headers}
    return step if body is None else {**step, "body": body}


def _run(argv: list[str], steps: Any) -> list[Outcome]:
    lines = "".join(f"{json.dumps(each)}\n" for each in steps)
    done = subprocess.run(argv, input=lines, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(steps)
    return [
        Outcome(
            each["status"],
            each["contentType"],
            each["requestID"],
            each["retryAfter"],
            each["text"],
            each["answer"],
            each["invalid"],
            each["isQuestion"],
        )
        for each in found
    ]
