module userquota.dev/model

go 1.22
