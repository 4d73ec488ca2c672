#!/usr/bin/busybox sh
# The first process of an emulated machine. Mounts what distributions mount, enables Portkeep for
# the verifier's verdict, runs the tests that /tests lists and tells the outcome (see machine.rs).
/usr/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root
# How many times as long as elsewhere a test may take.
export PORTKEEP_TEST_PATIENCE=10

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Not a mount: the repository may be below it.
chmod 1777 /tmp
ip link set lo up

for module in /modules/*; do
	case $module in *.xz) unxz "$module" && module=${module%.xz} ;; esac
	insmod "$module"
done

verify() {
	echo "-- instructions that the verifier of Linux $(uname -r) walked"
	portkeep enable && xtask verified && portkeep disable
}

run_tests() {
	status=0
	while read -r program arguments; do
		name=${program##*/}
		echo "-- ${name%-*}"
		# shellcheck disable=SC2086 # several words
		"$program" $arguments </dev/null || status=1
	done </tests
	return $status
}

# Warnings and worse, which set a bit each (Documentation/admin-guide/tainted-kernels.rst).
kernel_is_well() {
	[ "$(cat /proc/sys/kernel/tainted)" = 0 ] && return
	echo "-- the kernel complains"
	dmesg | tail -n 100
	return 1
}

verify && run_tests
status=$?
kernel_is_well || status=1
echo "portkeep-kernels: exit status $status"
poweroff -f
