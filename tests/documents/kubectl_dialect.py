"""
Asks a real kubectl how it reads YAML, without a cluster, and keeps its answers in `kubectl_dialect.json`.

`python tests/documents/kubectl_dialect.py` writes the answers anew with the kubectl on the PATH; the snippets stay.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_suffix(".json")
HEADER = "apiVersion: v1\nkind: Odd\nmetadata: {name: odd}\n"
COMMAND = ("annotate", "--local", "-f", "-", "-o", "json", "asked=yes")


class Number(str):
    """A JSON number with the digits it was written with."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl makes of `HEADER` and a snippet that begins with `v:`; `json` is the field `v`, None if refused."""

    yaml: str
    json: str | None
    we_refuse: bool = False  # on purpose, though kubectl does not


def read_table() -> list[Answer]:
    return [Answer(**row) for row in json.loads(TABLE.read_text("utf-8"))["answers"]]


DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number)


def load(text: bytes) -> Any:
    return DECODER.decode(text.decode())


def dump(value: Any) -> str:
    """Return compact JSON with sorted keys, numbers as they were written."""
    match value:
        case Number():
            return str(value)
        case dict():
            fields = (f"{json.dumps(key)}:{dump(value[key])}" for key in sorted(value))
            return f"{{{','.join(fields)}}}"
        case list():
            return f"[{','.join(map(dump, value))}]"
        case _:
            return json.dumps(value)


def ask(snippets: Sequence[str], kubectl: str | Path) -> list[str] | None:
    """
    Give the field `v` of each snippet as kubectl reads it, or None as soon as it refuses one.

    It goes through objects of a kind that nobody knows, so no schema bends the values.
    """
    text = "---\n".join(HEADER + snippet + "\n" * (not snippet.endswith("\n")) for snippet in snippets)
    answer = subprocess.run([kubectl, *COMMAND], input=text, capture_output=True, check=False, encoding="utf-8")
    if answer.returncode != 0:
        return None
    fields = []
    rest = answer.stdout.lstrip()
    while rest:
        whole, end = DECODER.raw_decode(rest)
        fields.append(dump(whole.get("v")))
        rest = rest[end:].lstrip()
    return fields


def main() -> None:
    version = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    rows = []
    for answer in read_table():
        asked = ask([answer.yaml], "kubectl")
        row: dict[str, object] = {"yaml": answer.yaml, "json": asked[0] if asked else None}
        rows.append(json.dumps(row | ({"we_refuse": True} if answer.we_refuse else {})))
    lines = ",\n".join(f"  {row}" for row in rows)
    asked_version = json.loads(version)["clientVersion"]["gitVersion"]
    TABLE.write_text(f'{{"kubectl": "{asked_version}", "answers": [\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
