"""
`python -m fuzz run TARGET`: gives a reader very many inputs, guided by coverage.

`list` shows the targets, `replay TARGET FILE...` gives inputs again, `keep TARGET FOLDER` keeps those of a folder that
reach code which the kept ones do not.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Do what the command line says."""
    asked = _arguments()
    if asked.command == "run":
        from fuzz.guided import fuzz  # noqa: PLC0415 - atheris is not installed everywhere

        fuzz(asked.target, runs=asked.runs, seconds=asked.seconds, seed=asked.seed, out=asked.out / asked.target)
        return
    from fuzz import kept, targets  # noqa: PLC0415 - `run` has to import them itself
    from fuzz.targets.worlds import silence  # noqa: PLC0415

    silence()

    match asked.command:
        case "list":
            for each in targets.TARGETS:
                print(f"{each.name:14} {each.reader}: {each.promise}")
        case "replay":
            for path in asked.files:
                targets.named(asked.target).check(path.read_bytes())
                print(f"{path}: read")
        case "keep":
            print(kept.keep(targets.named(asked.target), asked.folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the targets")
    run = commands.add_parser("run", help="give a target very many inputs")
    run.add_argument("target")
    run.add_argument("--runs", type=int, default=1_000_000, help="inputs (default: %(default)s)")
    run.add_argument("--seconds", type=int, default=0, help="to end after, 0 for no end (default: %(default)s)")
    run.add_argument("--seed", type=int, default=1, help="draws the mutations (default: %(default)s)")
    run.add_argument("--out", type=Path, default=Path("fuzz-out"), help="folder (default: %(default)s)")
    replay = commands.add_parser("replay", help="give a target the inputs in files")
    replay.add_argument("target")
    replay.add_argument("files", type=Path, nargs="+")
    keep = commands.add_parser("keep", help="keep the inputs of a folder that reach new code")
    keep.add_argument("target")
    keep.add_argument("folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
