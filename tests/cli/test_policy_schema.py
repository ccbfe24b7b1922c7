"""`userquota policy schema` prints the JSON Schema of a policy, of which the documents have a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Ended, userquota

pytestmark = pytest.mark.slow

COPY = Path(__file__).parent.parent.parent / "docs/policy.schema.json"


def test_the_copy_is_what_it_prints(tmp_path: Path) -> None:
    assert userquota("policy", "schema", folder=tmp_path) == Ended(0, COPY.read_text(), "")
