"""The policy in force, and where its texts come from: ConfigMaps in our namespace, files, or our own copy."""

from webhook.policy_source.config_maps import PolicyConfigMaps
from webhook.policy_source.current import POLICY_SELECTOR, CurrentPolicy, PolicyState
from webhook.policy_source.files import read_files
from webhook.policy_source.last_good import LastGoodPolicy
from webhook.policy_source.reader import PolicyReader, Submission
from webhook.policy_source.remarks import PolicyRemarks

__all__ = [
    "POLICY_SELECTOR",
    "CurrentPolicy",
    "LastGoodPolicy",
    "PolicyConfigMaps",
    "PolicyReader",
    "PolicyRemarks",
    "PolicyState",
    "Submission",
    "read_files",
]
