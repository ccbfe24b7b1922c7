"""
Run the program beside this file: Kubernetes' own evaluators and parser, built once per pinned version.

What to ask, and what the answers should be, is up to the tests.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict

import msgspec

from localcluster.binaries import cache_folder, report_to_stderr
from localcluster.build import GO_MODULE, Target, build_key, go_compiler, this_platform
from localcluster.locks import locked
from tests.oracle.random_pods import NOW

SOURCE = Path(__file__).parent / "main.go"


class Amount(TypedDict):
    """A quantity in its canonical form, and in billionths as text: JSON numbers end at 2^53."""

    canonical: str
    nanos: str


class ChargeAnswer(TypedDict):
    """What an evaluator charges for an object as sent, and with what the API server fills in."""

    asSent: dict[str, Amount]
    asStored: dict[str, Amount]


class QuantitiesAnswer(TypedDict):
    """Each text (None where it is refused), their sum from left to right, and each rounded up to a thousandth."""

    each: list[Amount | None]
    sum: Amount
    roundedUp: list[Amount | None]


class Oracle:
    """Kubernetes' evaluators and parser. Each call starts a process, and keeps nothing for the next one."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    def charges(self, pods: Iterable[str], *, now: datetime = NOW) -> list[ChargeAnswer]:
        """Return what each of *pods* costs at *now*, each a JSON text of one line."""
        return self._charges(("pods", now.isoformat()), pods)

    def volume_claim_charges(self, claims: Iterable[str]) -> list[ChargeAnswer]:
        """Return what each PersistentVolumeClaim costs, each a JSON text of one line."""
        return self._charges(("volumeclaims",), claims)

    def resource_claim_charges(self, claims: Iterable[str]) -> list[ChargeAnswer]:
        """
        Return what each ResourceClaim (`resource.k8s.io/v1`) costs, each a JSON text of one line.

        The evaluator knows no pod and no device class: it takes nothing off for what a pod has paid, and adds no name
        that a device class sets with `extendedResourceName`.
        """
        return self._charges(("resourceclaims",), claims)

    def quantities(self, lists: Iterable[Sequence[str]]) -> list[QuantitiesAnswer]:
        """Return what the texts of each list are worth."""
        return msgspec.json.decode(self._ask(("quantities",), map(json.dumps, lists)), type=list[QuantitiesAnswer])

    def _charges(self, arguments: Sequence[str], objects: Iterable[str]) -> list[ChargeAnswer]:
        return msgspec.json.decode(self._ask(arguments, objects), type=list[ChargeAnswer])

    def _ask(self, arguments: Sequence[str], lines: Iterable[str]) -> str:
        answer = subprocess.run(
            [self._binary, *arguments], input="\n".join(lines), capture_output=True, text=True, timeout=300, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return f"[{','.join(answer.stdout.splitlines())}]"


def find_oracle(environ: Mapping[str, str]) -> Path:
    """
    Return the binary; build it if it is missing: seconds where the control plane was built before, else some minutes.

    It is kept outside any checkout, beside the control plane's binaries. Raises: GoMissingError, BuildError.
    """
    platform = this_platform()
    key = f"{build_key(GO_MODULE, platform)}-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    binary = cache_folder(environ).with_name("oracle") / key
    lock = binary.with_name(f"{key}.lock")
    with locked(lock, on_wait=lambda: report_to_stderr("another process is building the oracle: waiting for it")):
        if not binary.is_file():
            unfinished = binary.with_name(f"{key}.unfinished")
            compile_target = go_compiler(GO_MODULE, platform, environ=environ)
            compile_target(Target("the oracle", str(SOURCE)), unfinished, report_to_stderr)
            unfinished.rename(binary)
    return binary
