"""The base class of this project's errors. Subclasses name the cause and are defined in the module that detects it."""


class WebhookError(Exception):
    """An expected failure with a known cause; never a bug in this project, never another library's error."""
