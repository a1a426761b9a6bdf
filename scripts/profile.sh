#!/bin/bash
# Says where the time of a start goes: `make profile`. It needs perf and strace, as root, and writes text to standard output.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in perf strace tini-static; do
	command -v "$tool" >/dev/null || {
		echo "profile.sh: $tool is not installed" >&2
		exit 1
	}
done
cp bin/finite "$work/finite"
(cd tests/bench && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$work/floor" ./floor)
# Without -E the Go runtime reads GODEBUG; otherwise that is the command's.
CGO_ENABLED=0 go build -ldflags '-s -w' -o "$work/portable" .

runs=200
again() { for ((i = 0; i < runs; i++)); do "$@"; done; }
export -f again
export runs

heading() { printf '\n== %s\n\n' "$1"; }

heading "what a run of /bin/true takes of the processors (means of $runs runs)"
for init in "tini-static -s --" "$work/floor" "$work/finite --"; do
	echo "${init/#$work\//}"
	# shellcheck disable=SC2086 # words
	perf stat -r $runs -e task-clock,page-faults,context-switches,cpu-migrations $init /bin/true 2>&1 |
		awk '/clock|faults|switches|migrations/ { $0 = substr($0, 1, 60); sub(/ +#.*/, ""); print "  " $0 }'
done

heading 'system calls of finite -- /bin/true, the command apart (strace -c)'
strace -c -f -o "$work/calls" "$work/finite" -- /bin/true
awk 'NR <= 2 || $4 > 1 || /total|clone|execve|waitid|exit/' "$work/calls" | head -40

heading 'package initialisation (GODEBUG=inittrace=1; 10 us or more, or 10 allocations or more)'
GODEBUG=inittrace=1 "$work/portable" --version 2>&1 | awk '/^init/ { if ($5 >= 0.01 || $10 >= 10) print "  " $0 }'

heading 'page faults of finite by what they are of'
perf trace -F all --no-syscalls -o "$work/faults" "$work/finite" -- /bin/true 2>/dev/null || true
awk '/finite\// { kind = /anon/ ? "anonymous memory (heap, stacks, bss)" : /finite@/ ? "the program file" : /stack/ ? "the stack" : "the rest"; n[kind]++ }
	END { for (k in n) printf "  %4d %s\n", n[k], k }' "$work/faults" | sort -rn

heading 'page faults of finite by what it was doing'
CGO_ENABLED=0 go build -ldflags '-E github.com/finite-init/finite/signals.entry' -o "$work/symbols" .
perf record -q -e page-faults -c 1 -g -o "$work/data" "$work/symbols" -- /bin/true
perf script -i "$work/data" -F comm,tid,ip,sym 2>/dev/null | awk -v RS= '
	!/^ *symbols/ { next }
	/runtime\.schedinit/ { n["the runtime, before there is a goroutine"]++; next }
	/runtime\.newm/ { n["new threads"]++; next }
	/runtime\.doInit/ { n["package initialization"]++; next }
	/forkInherited|spawn/ { n["finite: clone and execve"]++; next }
	/main\.main|pid1|finite\/init/ { n["finite: the rest"]++; next }
	/runtime\.(main|mstart|gcenable|bg)/ { n["the runtime, after that"]++; next }
	{ n["the rest: the entry point, the kernel, new stacks"]++ }
	END { for (k in n) printf "  %4d %s\n", n[k], k }' | sort -rn

heading 'threads of finite, and when the last was there'
strace -f -r -e trace=clone,clone3,execve,waitid,exit_group -o "$work/threads" "$work/finite" -- /bin/true
sed -E "s|$work/||g; s/^[0-9]+ +//; s/(.{100}).*/\1/" "$work/threads" | head -20
