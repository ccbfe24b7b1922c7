"""An installation and hand-overs under load, in a small size and with real processes: see `make rehearsal`."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster.binaries import Binaries
from rehearsal.report import render
from rehearsal.run import rehearse
from rehearsal.sizes import SMALL


def test_what_fails_was_announced_and_what_is_handed_over_is_never_half(
    binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOGC", "400")  # more memory for less time
    done = rehearse(SMALL, tmp_path, report=lambda _: None)

    assert done.violations == [], render(done)
    assert done.void == [], render(done)
    assert done.during_handover.under_limits > 100
