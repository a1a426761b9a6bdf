#!/bin/sh
# Runs examples/misbehave.sh, a tree that does not want to end, under a deadline: without a PID namespace, in one, and for comparison under
# GNU timeout. Needs sh, coreutils, util-linux, procps and Go; no root, where user namespaces are allowed.
set -eu
cd "$(dirname "$0")/.."

# The demo runs under finite itself, as a command like any other: whatever becomes of it (Ctrl-C, a kill), nothing stays.
if [ "${FINITE_DEMO:-}" != inner ]; then
	make -s build
	FINITE_DEMO=inner exec bin/finite --stop-grace 5s --grace 0 -- "$0"
fi

bold='' dim='' plain=''
if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi

work=$(mktemp -d)
tag=
running=
# Only processes of the tree that runs at the moment are ever ended, by PID: its tag is an argument of each, and of nothing else.
cleanup() {
	trap '' HUP INT TERM
	if [ -n "$tag" ]; then
		kill_tree
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 143' HUP INT TERM

pids() { pgrep -f "misbehave[.]sh [a-z]* $tag" || :; }

kill_tree() {
	for pid in $(pids); do
		kill -KILL "$pid" 2>/dev/null || :
	done
}

# show lists the tree's processes, with the tag cut off; its arguments are for ps.
show() {
	list=$(pids | paste -sd,)
	[ -n "$list" ] || return 0
	ps "$@" -p "$list" | sed "s/ $tag\$//" | cut -c1-118
}

columns='-o pid,ppid,pgid,sid,stat,args'
indent() { sed 's/^/  /'; }
say() { echo "$bold$*$plain"; }
note() { echo "$dim$*$plain"; }

# run TITLE COMMAND...: runs the tree under the command, with lists of its processes before and after.
count=0
run() {
	title=$1
	shift
	count=$((count + 1))
	tag=demo-$$-$count
	say "$count. $title"
	note "\$ $* sh examples/misbehave.sh"
	begin=$(date +%s%N)
	"$@" sh examples/misbehave.sh main "$tag" </dev/null >"$work/out" 2>&1 &
	running=$!
	# The tree is complete when all six are there and one has stopped. The command in front of it and its kind are there besides.
	tries=0
	while ! show -o stat= >"$work/stat" || [ "$(wc -l <"$work/stat")" -lt $((7 + extra)) ] || ! grep -q T "$work/stat"; do
		tries=$((tries + 1))
		if [ $tries -gt 30 ] || ! kill -0 "$running" 2>/dev/null; then
			break
		fi
		sleep 0.05
	done
	# shellcheck disable=SC2086 # options
	show $columns | indent
	status=0
	wait "$running" 2>/dev/null || status=$? # the shell would say there that timeout was killed
	milliseconds=$((($(date +%s%N) - begin) / 1000000))
	indent <"$work/out"
	echo "ended after $((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000))) s with status $status, and left$([ -n "$(pids)" ] || echo " nothing")"
	# shellcheck disable=SC2086 # options
	show --no-headers $columns | indent
	left=$(pids | wc -l)
}

say "A command whose six processes ignore SIGTERM: one in a session of its own (setsid), one forked twice, one in its own"
say "process group, one that has stopped itself, one under nohup. The deadline is 2 s, SIGKILL comes 1 s later."
echo

failed=0
extra=1 # finite
run "finite, as a child subreaper" bin/finite -v --timeout 2s --grace 1s --
[ "$left" = 0 ] && [ "$status" = 124 ] || failed=1
echo

namespace='unshare -pf --mount-proc'
if [ "$(id -u)" != 0 ]; then
	namespace='unshare -Urpf --mount-proc'
fi
# shellcheck disable=SC2086 # a list of words
if why=$($namespace true 2>&1); then
	extra=2 # unshare as well
	run "finite, as PID 1 of a PID namespace (these are its processes as seen from outside)" \
		$namespace bin/finite -v --timeout 2s --grace 1s --
	[ "$left" = 0 ] && [ "$status" = 124 ] || failed=1
else
	say "   Not shown: finite as PID 1. A PID namespace cannot be made here ($why)."
fi
echo

extra=1
run "For comparison: GNU timeout" timeout -k 1s 2s
kill_tree
while [ "$(pids | wc -l)" != 0 ]; do sleep 0.05; done
note "(these have been ended now, by PID)"
tag=

if [ $failed != 0 ]; then
	say "finite left something behind, or ended with another status than 124." >&2
	exit 1
fi
