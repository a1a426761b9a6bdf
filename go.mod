module github.com/finite-init/finite

go 1.26.0

require (
	github.com/pborman/getopt/v2 v2.1.0
	github.com/sirupsen/logrus v1.10.2
	golang.org/x/sys v0.49.0
)

require (
	github.com/creack/pty v1.1.24
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)

require github.com/opencontainers/runtime-spec v1.3.0 // indirect
