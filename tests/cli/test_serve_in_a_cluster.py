"""`userquota serve` with a cluster that refuses its requests."""

from __future__ import annotations

from pathlib import Path

from localcluster.controlplane import ControlPlane
from tests.cli.running import userquota


def refused(kubeconfig: Path, folder: Path) -> str:
    """The one line on stderr."""
    ended = userquota("serve", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0", folder=folder)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    return ended.err


def test_missing_rights_are_named(control_plane: ControlPlane, tmp_path: Path) -> None:
    line = refused(control_plane.kubeconfig("alice"), tmp_path)
    assert 'User "alice" cannot' in line
    assert "secrets" in line
