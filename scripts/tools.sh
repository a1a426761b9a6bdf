#!/bin/sh
# Builds the development tools that tools/go.mod pins into bin/tools, each when it was asked for by name. A tool is built again only when
# the pins or Go itself have changed: linking golangci-lint takes seconds even when nothing is to be compiled.
set -eu
cd "$(dirname "$0")/.."

# Tools run here, whatever the code that is worked on is built for.
unset GOOS GOARCH
export CGO_ENABLED=0

mkdir -p bin/tools
log=$(mktemp)
trap 'rm -f "$log"' EXIT
pins=$({ go version && cat tools/go.mod tools/go.sum; } | sha256sum)

for tool; do
	stamp=bin/tools/.$tool.pins
	if [ -x "bin/tools/$tool" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$pins" ]; then
		continue
	fi
	package=$(cd tools && go list -f '{{.ImportPath}}' tool 2>"$log" | grep "/$tool\$") || {
		grep -v '^go: downloading ' "$log" >&2 || :
		echo "tools.sh: cannot find $tool by tools/go.mod" >&2
		exit 1
	}
	echo "building $tool"
	# Without the hundred lines of what is downloaded.
	(cd tools && go build -buildvcs=false -trimpath -ldflags '-s -w' -o "../bin/tools/$tool" "$package") >"$log" 2>&1 || {
		grep -v '^go: downloading ' "$log" >&2 || :
		exit 1
	}
	echo "$pins" >"$stamp"
done
