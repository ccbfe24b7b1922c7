"""The root of this project's errors. What went wrong is told by the subclasses, which live where the fact is known."""


class WebhookError(Exception):
    """Something this project found wrong and can name; never a bug of ours, never another library's error."""
