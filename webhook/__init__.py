"""userquota: an admission webhook that holds people, groups, tenants and namespaces to their quotas."""

__version__ = "0.1.0"
