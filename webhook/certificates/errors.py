"""
What can be wrong with a certificate, a key or the Secret that holds them.

One line each, with what to do; nothing here reads or checks anything.
"""

from __future__ import annotations

from webhook.ports import WebhookError


class CertificateError(WebhookError):
    """
    Give the one line that an operator needs to repair a certificate, a key or a file of them.

    ``source`` names the file, or the Secret and its key; ``problem`` says what is wrong and what to do.
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem
