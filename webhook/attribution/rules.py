"""
Find the payer of an object from the effective user and the chain of owners, never from annotations of the user.

docs/attribution.md describes the rules. `stamp` writes the payer on the object.
"""

from __future__ import annotations

from webhook.attribution.changes import Changes
from webhook.attribution.creations import Creations
from webhook.attribution.editors import Editors
from webhook.attribution.identities import Identities
from webhook.attribution.lineage import Lineage
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, HandoverRights, Namespaces, PolicySource


class Attribution:
    """Everything that a review asks about who pays: of new objects, of changes, and of users."""

    def __init__(
        self,
        ancestry: Ancestry,
        namespaces: Namespaces,
        policies: PolicySource,
        *,
        rights: HandoverRights,
        kinds: Registry,
    ) -> None:
        """
        Read owners of *kinds* that have makers, from *ancestry*, and the marks of *namespaces*.

        *policies* name further trusted controllers, delegates and marks; *rights* say who may hand objects over.
        """
        lineage = Lineage(ancestry, kinds=kinds)
        self.users = Identities(policies, kinds=kinds)
        self.creations = Creations(ancestry, namespaces, policies, identities=self.users, lineage=lineage, kinds=kinds)
        editors = Editors(policies, identities=self.users, lineage=lineage)
        self.changes = Changes(
            ancestry, policies, identities=self.users, lineage=lineage, editors=editors, rights=rights
        )
