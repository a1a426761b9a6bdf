dir=$1 cage=$2 m=$1/m

# state waits until a process is in one of some states.
state() {
	until grep -qs "^State:.[$2]" "/proc/$1/status"; do
		test -d "/proc/$1" || exit 94
	done
}

# finish ends what would keep the cage from telling who is left.
finish() { :; }

# fuse makes a file system in $m with one file, every read and flush of which is never answered.
fuse() {
	mkdir "$m"
	mkfifo "$m.asked"
	exec 3<>/dev/fuse 4<>"$m.asked"
	mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other test "$m" || exit 97
	perl -e "$fuse_server" 4>&4 &
	server=$!
	exec 3>&-
	finish() { kill -9 "$server"; }
}

# asked waits for a read or a flush.
asked() { dd bs=1 count=1 <&4 2>&-; }

