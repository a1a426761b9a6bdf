read own </proc/self/timerslack_ns; end=$(($(date +%s) + 30))
while [ "$(date +%s)" -lt $end ]; do
	n=0 other=
	for t in $(ls -U /proc/$PPID/task); do
		read slack </proc/$t/timerslack_ns; n=$((n + 1)); want=$own
		[ $n -ne 2 ] || want=10000000
		[ $slack = $want ] || other="$other $n:$slack"
	done
	[ "$other" ] || exit 0
done
echo "$n threads; the slack of these is another:$other"; exit 1
