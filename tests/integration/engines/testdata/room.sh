set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
for dir in etc opt var; do
	mkdir -p /run/room/$dir /run/room/work.$dir
	mount -t overlay -o lowerdir=/$dir,upperdir=/run/room/$dir,workdir=/run/room/work.$dir overlay /$dir
done
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/"$1"
echo 1 >/sys/fs/cgroup/"$1"/cgroup.procs
echo ready
exec env --ignore-signal=CHLD cat
