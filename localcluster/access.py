"""
Kubeconfigs and kubectl for a local control plane, for each of its users and API servers.

How the servers run is not known here.
"""

import base64
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from localcluster.errors import KubectlError, LocalClusterError
from localcluster.pki import write_private
from localcluster.users import ADMIN


def run_kubectl(  # noqa: PLR0913 - what the callers' own methods take
    command: Sequence[str],
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: str | None,
    check: bool,
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """
    Run *command*, kubectl with the options that say whose cluster it asks, with *arguments*.

    Raises: KubectlError if it ends with a code other than 0 and *check* is set; subprocess.TimeoutExpired.
    """
    answer = subprocess.run(  # noqa: S603  the kubectl that binaries.py found, or that of a test
        [*command, *arguments],
        env=environ,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and answer.returncode != 0:
        raise KubectlError(tuple(arguments), answer.returncode, stdout=answer.stdout, stderr=answer.stderr)
    return answer


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Addresses, the authority's certificate, one token per user, and a folder for the files written on demand."""

    server_urls: tuple[str, ...]
    ca_file: Path
    tokens: Mapping[str, str]
    folder: Path
    kubectl_binary: Path

    def token(self, user: str) -> str:
        """
        Return the bearer token of *user*.

        Raises: LocalClusterError for a user that was not among those of the start.
        """
        if user not in self.tokens:
            raise LocalClusterError(f"no user {user!r}; there are: {', '.join(sorted(self.tokens))}")
        return self.tokens[user]

    def kubeconfig(self, user: str = ADMIN, *, server: int = 1) -> Path:
        """
        Return a kubeconfig of *user* for the *server*-th API server; it is written once, so that edits to it stay.

        Raises: LocalClusterError for an unknown user or server.
        """
        path = self.folder / f"{user.replace(':', '-')}-{server}.kubeconfig"
        content = self._kubeconfig(user, server)
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, content)
        return path

    def kubectl(
        self,
        *arguments: str,
        user: str = ADMIN,
        stdin: str | None = None,
        check: bool = True,
        server: int = 1,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run kubectl as *user* and return what it printed.

        Raises: KubectlError if it ends with a code other than 0 and *check* is set; subprocess.TimeoutExpired.
        """
        environ = os.environ | {
            "KUBECONFIG": str(self.kubeconfig(user, server=server)),
            "KUBECACHEDIR": str(self.folder / "cache"),
            "KUBERC": "off",
        }
        command = [str(self.kubectl_binary)]
        return run_kubectl(command, arguments, environ=environ, stdin=stdin, check=check, timeout=timeout)

    def _kubeconfig(self, user: str, server: int) -> bytes:
        if not 1 <= server <= len(self.server_urls):
            raise LocalClusterError(f"no API server {server}; there are {len(self.server_urls)}")
        cluster = {
            "server": self.server_urls[server - 1],
            "certificate-authority-data": base64.b64encode(self.ca_file.read_bytes()).decode(),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "userquota-local", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": user, "context": {"cluster": "userquota-local", "user": user}}],
            "current-context": user,
        }
        return yaml.safe_dump(document, sort_keys=False).encode()
