"""
Runs one target for long, guided by coverage: atheris keeps what reaches new code, and mutates that.

atheris is installed by `make fuzz` only: it has builds for some machines and versions of Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

_SECONDS = 20
"""For one input, on a busy machine. Reading any of them takes milliseconds."""
_MEBIBYTES = 2048


def fuzz(name: str, *, runs: int, seconds: int, seed: int, out: Path) -> None:
    """
    Give the target *name* so many inputs, or those of so many *seconds*; 0 seconds have no end. Ends the process.

    Those that reach new code are kept in *out*. An input that breaks a promise, takes too long or too much memory is
    written to *out* beside them.
    """
    with atheris.instrument_imports(include=["webhook"]):
        from fuzz import targets  # noqa: PLC0415 - what is imported here is instrumented
        from fuzz.targets.worlds import silence  # noqa: PLC0415
    from fuzz.mutation import Mutator, words_of  # noqa: PLC0415 - not instrumented

    silence()
    target = targets.named(name)
    beginning = target.inputs()
    mutator = Mutator(words_of(beginning), seed=seed, longest=target.longest)
    corpus, found = out / "corpus", out / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(beginning):
        if len(each) <= target.longest:
            (corpus / f"begin-{number:04}").write_bytes(each)

    share = 0.7 if target.is_structured else 0.95

    def mutated(data: bytes, longest: int, _: int) -> bytes:
        if mutator.random.random() < share:
            return bytes(atheris.Mutate(data, longest))
        return mutator.mutated(data, mutator.random.choice(beginning))[:longest]

    options = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={target.longest}",
        "-len_control=0",
        f"-timeout={_SECONDS}",
        f"-rss_limit_mb={_MEBIBYTES}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.check, custom_mutator=mutated)
    atheris.Fuzz()
