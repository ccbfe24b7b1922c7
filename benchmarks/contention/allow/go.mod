module userquota/benchmarks/contention/allow

go 1.26.0
