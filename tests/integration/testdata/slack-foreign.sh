read own </proc/self/timerslack_ns
read -r pid comm state finite rest </proc/self/stat; end=$(($(date +%s) + 30))
while [ "$(date +%s)" -lt $end ]; do
	other=
	for t in $(ls -U /proc/$finite/task); do
		read slack </proc/$t/timerslack_ns; [ $slack = $own ] || other="$other $t:$slack"
	done
	[ "$other" ] || exit 0
done
echo "the slack of these is another:$other"; exit 1
