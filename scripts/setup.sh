#!/bin/sh
# Installs the Debian packages that the tests need. It says nothing and asks nobody when all of them are there. It needs root and apt-get.
set -eu

# The engines that the tests run, the other inits that finite is compared with, and a shell that runs in an empty image. gVisor (runsc) and QEMU's user
# mode are kernels that are not all of Linux. gcc is for go test -race, hyperfine for the benchmark.
packages='
	docker.io containerd runc crun podman containernetworking-plugins
	tini dumb-init catatonit
	runsc qemu-user-static
	busybox-static procps uidmap util-linux
	gcc libc6-dev hyperfine shellcheck
'

missing=
for package in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"

log=$(mktemp)
policy=
cleanup() {
	rm -f "$log"
	[ -z "$policy" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The tests start a Docker daemon of their own. The one that comes with the package must not be started by the way; Debian's maintainer
# scripts ask this file (101: not allowed). One that is there is the administrator's, and stays as it is.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive

# apt runs apt-get. Another apt holds the lock of the lists or of dpkg: that one is waited for, ten minutes at most.
apt() {
	tries=0
	until apt-get -qq "$@" >"$log" 2>&1 </dev/null; do
		if ! grep -q 'Could not get lock\|Unable to acquire' "$log" || [ $tries -ge 200 ]; then
			cat "$log" >&2
			exit 1
		fi
		tries=$((tries + 1))
		sleep 3
	done
}
apt update
# shellcheck disable=SC2086 # a list of words
apt install --no-install-recommends $missing
