"""`userquota serve` with a cluster that does not let it in, or that is not there."""

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


def test_a_cluster_that_does_not_answer_is_named(control_plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    text = control_plane.kubeconfig("admin").read_text()
    kubeconfig.write_text(text.replace(control_plane.server_urls[0], "https://127.0.0.1:1"))
    assert "127.0.0.1:1" in refused(kubeconfig, tmp_path)
