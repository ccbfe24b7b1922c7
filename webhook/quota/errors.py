"""
The base class of this project's errors, and what the JSON decoder raises.

Subclasses name the cause and are defined in the module that detects it.
"""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""
What msgspec raises for a text that is no JSON, no UTF-8, another object, or nested beyond the 1 000 levels that it
follows: an API server stores custom resources of 10 000, and lists their fields once more in their metadata.
"""


class WebhookError(Exception):
    """An expected failure with a known cause; never a bug in this project, never another library's error."""
