"""People whom no other test knows: the admin acts as them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.running import RunningWebhook
from tests.cluster.test_who_pays import run

EMPTIED = (
    "/api/v1/namespaces/{}/pods?gracePeriodSeconds=0",
    "/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims",
    "/api/v1/namespaces/{}/persistentvolumeclaims",
)
"""What a person may leave behind; each is deleted in one request."""


@dataclass(frozen=True)
class Person:
    """A person in a namespace that others use, too."""

    running: RunningWebhook
    place: str
    name: str

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Return the output of kubectl, successful or not."""
        return run(
            self.running, self.place, *words, f"--as={self.name}", "--as-group=people", user="admin", stdin=stdin
        )

    def create(self, manifest: str) -> str:
        return self.run("create", "-f", "-", stdin=manifest)

    def delete(self, kind: str, name: str, *options: str) -> None:
        assert "deleted" in self.run("delete", kind, name, *options)

    def leave(self) -> None:
        """Delete all objects of the namespace."""
        for path in EMPTIED:
            self.running.cluster.kubectl("delete", "--raw", path.format(self.place))
