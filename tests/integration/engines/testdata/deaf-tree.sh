
trap "" TERM INT QUIT HUP
member='echo member; exec sleep 10000'
{
	sh -c "$member" &                      # a child
	setsid sh -c "$member" &               # in a session of its own
	(sh -c "$member" &)                    # whose parent is gone
	(setsid sh -c "(sh -c '$member' &)" &) # both, and one further down
	(set -m; sh -c "$member" &)            # in a process group of its own
	sh -c 'echo member; kill -STOP $$' &   # stopped
} 2>/dev/null
wait
