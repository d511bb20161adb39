# SPDX-License-Identifier: Apache-2.0
# The unit tests that need the kernel's vhost workers, where a kernel with them can be had.
. "$(dirname "$0")/../lib.sh"

check_unit() { # check_unit MODULE PROGRAM FILTER
    needs_lab
    local program=$TEST_PROGRAMS/devices/virtio/$2
    [ -x "$program" ] || skip "$2 is not built"
    modprobe tun
    modprobe "$1" || skip "no $1 here"
    "$program" --gtest_filter="$3"
    "$program" --gtest_filter="$3" | grep -q 'SKIPPED' && fail "a test was skipped"
    return 0
}

run_test vhost-net-device check_unit vhost_net net/net_test 'VhostNetTest.*'
run_test vhost-vsock-device check_unit vhost_vsock vsock/vsock_test 'VsockTest.*'
