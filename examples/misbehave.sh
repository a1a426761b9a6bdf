#!/bin/sh
# A command that does not want to end: run it under a deadline and see what is left of it.
#
#   finite --timeout 2s --grace 1s -- examples/misbehave.sh
#
# Six processes, each of which gets away from something: all ignore SIGTERM, SIGINT and SIGHUP, and
#
#   main      waits for nobody
#   session   is in a session of its own (setsid)
#   orphan    was forked twice: its parent is gone, and it is in a session of its own
#   group     is in a process group of its own (timeout makes one, and waits for it)
#   stopped   has stopped itself
#   nohup     was started with nohup
#
# An argument names the role, a second one is only there to be found by (pgrep -f).
set -eu

role=${1:-main}
tag=${2:-misbehave}

trap '' TERM INT HUP

# All wait for a line from a FIFO that never comes. It needs no further process, as sleep would.
if [ ! -p /proc/self/fd/3 ]; then
	dir=$(mktemp -d)
	mkfifo "$dir/never"
	exec 3<>"$dir/never"
	rm -r "$dir"
fi

case $role in
main)
	setsid sh "$0" session "$tag" &
	(setsid sh "$0" orphan "$tag" &)
	timeout 1h sh "$0" group "$tag" &
	sh "$0" stopped "$tag" &
	nohup sh "$0" nohup "$tag" >/dev/null 2>&1 &
	;;
stopped)
	kill -STOP $$
	;;
esac

# A signal that was caught would end the wait; then wait again.
while :; do
	read -r _ <&3 || :
done
