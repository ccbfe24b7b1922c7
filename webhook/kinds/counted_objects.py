"""
Which of the pods that are stored are on the book.

What they cost lies in `quota.pod`, who pays in `stamp`.
"""

from __future__ import annotations

from collections.abc import Container

from webhook.quota.objects import ObjectMeta


def is_counted_object(meta: ObjectMeta, *, exempt: Container[str]) -> bool:
    """
    Say whether a stored pod counts: all do but those of *exempt* namespaces and mirror pods.

    A mirror pod has no stamp because no person made it; a person's imitation of one was stamped.
    """
    if meta.namespace in exempt:
        return False
    annotations = meta.annotations
    return annotations is None or annotations.mirror is None or annotations.owner is not None
