#!/bin/bash
# Runs everything that says whether finite is right: `make test`. Without root, apt-get or a network it runs what it can, and lists at the
# end what it skipped and why.
#
#   scripts/test.sh [setup] [build] [lint] [unit] [integration] [bench]
#
# FINITE_TEST_REQUIRE=all turns whatever would be skipped into a failure: tests see to that themselves, this script to the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

parts=("$@")
[ $# -gt 0 ] || parts=(setup build lint unit integration bench)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skips=$work/skips # lines of: what, a tab, why
: >"$skips"

skip() { printf '%s\t%s\n' "$1" "$2" >>"$skips"; }

# go_test runs go test in directory $1 with the other arguments and prints what a reader wants of its output.
go_test() {
	local dir=$1
	shift
	(cd "$dir" && go test -json -count=1 "$@") | bin/tools/testreport -skips "$skips" "${report_flags[@]}"
}
report_flags=()

# limit prints how long a package of tests may take that is to have $1 minutes, on a machine as slow as this one: up to three times as long. The tests
# measure the same (testkit.Slow).
limit() {
	local begin percent i
	begin=$(date +%s%N)
	for ((i = 0; i < 40; i++)); do /bin/true; done
	percent=$((($(date +%s%N) - begin) / 40 / 15000)) # of 1.5 ms for each
	percent=$((percent < 100 ? 100 : percent > 300 ? 300 : percent))
	echo "$(($1 * 60 * percent / 100))s"
}

part_setup() {
	if [ "$(id -u)" != 0 ]; then
		echo "not root: using what is installed"
	elif ! command -v apt-get >/dev/null; then
		echo "no apt-get: using what is installed"
	elif ! scripts/setup.sh; then
		skip setup "the Debian packages could not be installed"
	fi
}

part_build() {
	make -s build
	bin/finite --version
}

part_lint() {
	local dir status=0
	if ! scripts/tools.sh golangci-lint; then
		skip lint "golangci-lint could not be built"
		return
	fi
	# A module of its own is out of the main module's ./...
	for dir in . tools tests/integration tests/bench; do
		[ -e "$dir/go.mod" ] || continue
		(cd "$dir" && "$root/bin/tools/golangci-lint" run --allow-serial-runners --timeout "$(limit 5)" -c "$root/.golangci.yml" ./...) || status=1
	done
	# The other architecture has code of its own, and vet knows assembly. riscv64 stands for those that have no entry point.
	for arch in amd64 arm64 riscv64; do
		CGO_ENABLED=0 GOARCH=$arch go vet ./... || status=1
	done
	if command -v shellcheck >/dev/null; then
		shellcheck .ci/run scripts/*.sh examples/*.sh || status=1
	else
		skip "lint of the scripts" "no shellcheck"
	fi
	lint_vulnerabilities || status=1
	return $status
}

# lint_vulnerabilities asks the vulnerability database (GOVULNDB names another one, file:///… too). Where it cannot be reached that is said
# but does not count as skipped: whether a network is there is no property of the code, and must not fail CI.
lint_vulnerabilities() {
	local status=0
	if ! scripts/tools.sh govulncheck; then
		echo "note: no check for known vulnerabilities: govulncheck could not be built"
		return 0
	fi
	timeout 120 bin/tools/govulncheck ${GOVULNDB:+-db "$GOVULNDB"} ./... >"$work/vuln" 2>&1 || status=$?
	case $status in
	0) echo "no known vulnerabilities" ;;
	3) # it found some
		cat "$work/vuln"
		return 1
		;;
	*) echo "note: no check for known vulnerabilities: $(tail -n 1 "$work/vuln")" ;;
	esac
}

# The race detector needs a C compiler.
race=()
cgo=0
find_compiler() {
	if command -v "$(go env CC | cut -d ' ' -f 1)" >/dev/null; then
		race=(-race)
		cgo=1
	else
		skip "the race detector in the $1 tests" "no C compiler"
	fi
}

part_unit() {
	local packages status=0
	find_compiler unit
	packages=$(go list ./... | grep -v '/tests/')
	# shellcheck disable=SC2086 # a list of words
	CGO_ENABLED=$cgo go_test . "${race[@]}" $packages || status=1
	go_test tools ./... || status=1
	return $status
}

part_integration() {
	local packages='./tests/internal/... ./tests/integration/... ./tests/chaos ./tests/hostile ./tests/faults'
	[ -x bin/finite ] || part_build
	# They take minutes, so each test is shown as it ends.
	report_flags=(-progress)
	# One package at a time: some of them are about time. Four tests at a time, of those that say that they may be: they wait more than they work.
	find_compiler integration # one of them supervises in the test binary itself
	# shellcheck disable=SC2086 # a list of words
	CGO_ENABLED=$cgo FINITE_BIN=$root/bin/finite go_test . "${race[@]}" -p 1 -parallel 4 -timeout "$(limit 22)" $packages
}

# That the benchmark works, and makes every figure. What the figures are is of no interest here.
part_bench() {
	[ -x bin/finite ] || part_build
	CGO_ENABLED=0 FINITE_BIN=$root/bin/finite go_test tests/bench -timeout "$(limit 5)" ./...
}

# Output that others read goes first through a program of our own; building it needs no network.
(cd tools && CGO_ENABLED=0 go build -buildvcs=false -o ../bin/tools/testreport ./testreport)

passed=() failed=()
for part in "${parts[@]}"; do
	case $part in
	setup | build | lint | unit | integration | bench) ;;
	*)
		echo "test.sh: unknown part: $part" >&2
		exit 2
		;;
	esac
	echo "== $part"
	begin=$SECONDS
	# In a subshell with -e of its own: "if part_x" would switch it off inside the function.
	set +e
	(
		set -e
		"part_$part"
	)
	status=$?
	set -e
	if [ $status = 0 ]; then
		passed+=("$part ($((SECONDS - begin))s)")
	else
		failed+=("$part ($((SECONDS - begin))s)")
		[ "$part" != build ] || break
	fi
done

# join prints its arguments with ", " between them.
join() {
	local first=${1-}
	[ $# -eq 0 ] || shift
	printf '%s' "$first" "${@/#/, }"
	echo
}

echo "== result"
# One line for each reason.
awk -F '\t' '
	!($2 in count) { order[++reasons] = $2 }
	{ if (++count[$2] <= 3) names[$2] = names[$2] (count[$2] > 1 ? ", " : "") $1 }
	END {
		for (i = 1; i <= reasons; i++) {
			why = order[i]
			more = count[why] > 3 ? " and " (count[why] - 3) " more" : ""
			print "skipped: " names[why] more ": " why
		}
		if (!reasons) print "skipped: nothing"
	}' "$skips"
[ ${#passed[@]} = 0 ] || echo "passed: $(join "${passed[@]}")"
if [ ${#failed[@]} != 0 ]; then
	echo "failed: $(join "${failed[@]}")"
	exit 1
fi
if [ "${FINITE_TEST_REQUIRE:-}" = all ] && [ -s "$skips" ]; then
	echo "failed: FINITE_TEST_REQUIRE=all allows no skips"
	exit 1
fi
