"""What can be wrong with a webhook configuration; errors of the API server itself are those of its adapter."""

from webhook.ports import WebhookError


class RegistrationError(WebhookError):
    """A webhook configuration is not as it must be; one line that says what to do."""
