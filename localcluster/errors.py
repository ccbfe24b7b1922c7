"""The errors of a local control plane; each text says what to do."""

from pathlib import Path


class LocalClusterError(Exception):
    """The local control plane cannot be started or used; the text says why and what to do."""


class GoMissingError(LocalClusterError):
    """No Go toolchain that is new enough was found."""


class BuildError(LocalClusterError):
    """A binary of the control plane could not be built; ``output`` holds the last lines of the compiler."""

    def __init__(self, name: str, output: str) -> None:
        self.name = name
        self.output = output
        super().__init__(f"cannot build {name}:\n{output}")


class BinariesMissingError(LocalClusterError):
    """The folder of ``KUBEBUILDER_ASSETS`` lacks binaries."""

    def __init__(self, folder: Path, missing: tuple[str, ...]) -> None:
        self.folder = folder
        self.missing = missing
        super().__init__(
            f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}: "
            "put it there, or unset KUBEBUILDER_ASSETS to have the binaries built"
        )


class ProcessError(LocalClusterError):
    """A process of the control plane ended, or was not ready in time; the text ends with its last log lines."""

    def __init__(self, name: str, failure: str, *, log_file: Path, log_tail: str) -> None:
        self.name = name
        self.log_file = log_file
        super().__init__(f"{name} {failure}; the end of {log_file}:\n{log_tail}")


class KubectlError(LocalClusterError):
    """A kubectl command failed."""

    def __init__(self, arguments: tuple[str, ...], returncode: int, *, stdout: str, stderr: str) -> None:
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(f"kubectl {' '.join(arguments)} ended with {returncode}: {stderr.strip() or stdout.strip()}")
