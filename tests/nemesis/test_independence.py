"""The judge shares no code with the webhook, so that it does not repeat its mistakes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nemesis

FOLDER = Path(nemesis.__file__).parent


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_nothing_of_the_webhook_is_used() -> None:
    packages = {name.split(".")[0] for path in FOLDER.glob("*.py") for name in imported(path)}

    assert "localcluster" in packages
    assert "webhook" not in packages


def test_what_judges_uses_nothing_of_the_rig() -> None:
    seen, waiting = set[str](), ["judge", "report"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        of_this = set(imported(FOLDER / f"{name}.py"))
        assert not any(each.split(".")[0] in ("webhook", "tests", "aiohttp", "asyncio") for each in of_this), name
        here = {path.stem for path in FOLDER.glob("*.py")} & {each.split(".")[1] for each in of_this if "." in each}
        waiting += here - seen
    assert "accounting" in seen
