trap "echo got USR1" USR1
trap "echo got QUIT" QUIT
trap "echo got TERM" TERM
(setsid sh -c 'exec sleep 1000' &)
sleep 1000 &
echo ready
while :; do wait; done
