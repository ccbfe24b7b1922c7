"""A real control plane on this machine, as plain processes: for `userquota local up` and for the tests."""
