module userquota.dev/liquid

go 1.26.0

require github.com/sapcc/go-api-declarations v1.22.0

require go.xyrillian.de/gg v1.7.0 // indirect
