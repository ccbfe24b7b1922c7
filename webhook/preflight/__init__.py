"""What a policy would mean for a cluster as it is, before userquota is installed. Pure: others read the cluster."""
