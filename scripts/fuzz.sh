#!/bin/bash
# Runs every fuzz target, one after the other, for so long each, and prints a line for each: `make fuzz`.
#
#   scripts/fuzz.sh TIME [PATTERN]
#
# PATTERN is a regular expression for the names of targets; without one, all are run. An input that fails is shown, and is in the corpus of its
# target (testdata/fuzz) from then on. It belongs into the repository, with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
time=$1
pattern=${2:-.}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
run=0
failed=()
export CGO_ENABLED=0

# A package's targets come before its line that begins with "ok".
targets=$(go test -list '^Fuzz' ./... | awk '
	/^Fuzz/ { names[++n] = $1 }
	/^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')

while read -r package target; do
	[[ $target =~ $pattern ]] || continue
	status=0 run=$((run + 1))
	# Without a limit, the time goes by with making long inputs shorter.
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 200x -parallel 1 "$package" >"$output" 2>&1 || status=$?
	# The last line of progress: "fuzz: elapsed: 1m0s, execs: 123 (2/sec), new interesting: 4 (total: 5)".
	progress=$(sed -n 's/.*execs: \([0-9]*\) .*new interesting: \([0-9]*\) (total: \([0-9]*\)).*/\1 inputs, \2 new of \3/p' "$output" | tail -n 1)
	if [ $status = 0 ]; then
		printf 'ok   %-24s %-20s %s\n' "$target" ".${package#github.com/finite-init/finite}" "$progress"
	else
		printf 'FAIL %-24s %-20s %s\n' "$target" ".${package#github.com/finite-init/finite}" "$progress"
		cat "$output"
		failed+=("$target")
	fi
done <<<"$targets"
if [ $run = 0 ]; then
	echo "fuzz.sh: no target is called $pattern" >&2
	exit 2
fi
if [ ${#failed[@]} != 0 ]; then
	echo "failed: ${failed[*]}"
	exit 1
fi
