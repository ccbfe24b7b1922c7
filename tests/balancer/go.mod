module userquota/tests/balancer

go 1.26.0
