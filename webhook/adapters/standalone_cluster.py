"""
The cluster that a standalone server imagines: namespaces without labels, no owners, nothing stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from webhook.ports import ObjectKind
from webhook.quota.podspec import ObjectMeta


class StandaloneCluster:
    """Ports `Ancestry` and `Namespaces`, with nothing behind them."""

    def known(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - all are alike
        """Give no labels."""
        return {}

    async def labels(self, name: str) -> Mapping[str, str]:
        """Give no labels."""
        return self.known(name)

    async def read(self, kind: ObjectKind, namespace: str, name: str) -> ObjectMeta | None:  # noqa: ARG002
        """Give nothing: what a controller makes cannot be attributed without a cluster, and is refused."""
        return None
