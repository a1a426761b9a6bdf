# A command mounts a list of children over that of the keeper, in one of some ways. The list names a
# stranger, and leaves out the command's own child. What has become of the two in the end?
finite=$0 dir=$1 way=$2
shift 2
cd "$dir"
cat >command.sh <<'EOF'
trap "" TERM
keeper=$PPID
files=$keeper/task/$keeper
mkdir -p "forged/$files" "forged/$2"
echo "$2 " >"forged/$files/children"
ln -s "$keeper" forged/self
status() { printf 'Name:\tsleep\nState:\tS (sleeping)\nTgid:\t%s\nPPid:\t%s\nNSpid:\t%s\n' "$1" "$2" "$1"; }
status "$keeper" 1 >"forged/$keeper/status"
status "$2" "$keeper" >"forged/$2/status"
setsid sleep 1001 &
case $1 in
list) mount --bind "forged/$files/children" "/proc/$files/children" ;;
tasks) mount --bind "forged/$keeper/task" "/proc/$keeper/task" ;;
own)
	mount --bind "forged/$keeper/task" "/proc/$keeper/task"
	for pid in $$ $!; do mount --bind "forged/$2/status" "/proc/$pid/status"; done
	;;
all) mount --bind forged /proc ;;
esac || exit 97
exec sleep 1002
EOF
sleep 1000 &
stranger=$!
"$finite" "$@" -t 1s -k 100ms --give-up 5s --cgroup off -- sh command.sh "$way" "$stranger"
echo "status $?"
mount -t proc proc /proc
grep '^State' "/proc/$stranger/status"
for pid in /proc/[0-9]*; do
	test "$(tr '\0' ' ' <"$pid/cmdline")" != 'sleep 1001 ' || echo "left: $pid"
done
kill -9 "$stranger"
wait "$stranger"
