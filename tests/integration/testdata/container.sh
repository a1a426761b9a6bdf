finite=$0 dir=$1
shift

# container makes a container with unshare's options, and sets c to the PID of its init.
container() {
	mkfifo "$dir/up$#"
	unshare --pid --fork --mount-proc --kill-child "$@" \
		sh -c 'echo up; exec sleep 1000' >"$dir/up$#" 2>/dev/null &
	u=$!
	read -r up <"$dir/up$#"
	read -r c <"/proc/$u/task/$u/children"
	test "$up" && test "$c" || exit 97
}

# alive lists who is in the container: names and states.
alive() {
	nsenter -t "$c" -p -m sh -c 'for p in /proc/[0-9]*; do
		read -r pid comm state rest <$p/stat && test $pid != $$ && echo "$comm $state"
	done' 2>&- | sort
}

# finish ends the container.
finish() {
	kill -9 "$c"
	wait "$u"
	exit 0
}

