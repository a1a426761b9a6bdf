# A keeper that has joined a container is killed. Who is left then in the container?
container
"$finite" $1 -t 1h --join "$c:pid,mnt" -- \
	sh -c 'setsid sleep 1000 & echo ready; exec sleep 2000' >"$dir/out" &
f=$!
until grep -qs ready "$dir/out"; do sleep 0.01; done
for k in $(cat "/proc/$f/task/$f/children"); do
	test "$(cat "/proc/$k/comm")" = keeper && kill -9 "$k"
done
wait "$f"
echo "status $?"
nsenter -t "$c" -p -m sh -c 'for p in /proc/[0-9]*; do
	tr "\0" " " <$p/cmdline
	echo
done' | grep '^sleep' | sort
finish
