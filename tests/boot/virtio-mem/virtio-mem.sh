# SPDX-License-Identifier: Apache-2.0
# virtio-mem with Linux' own driver: the guest follows both ways.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

# The guest tells what it has, for ever.
# shellcheck disable=SC2016 # expanded in the guest
TELL='
while :; do awk "/MemTotal/ { print \"TOTAL\", int(\$2 / 1024) }" /proc/meminfo; sleep 0.3; done'

# As its users know it: some at the start, more, then nothing.
check_grow_and_shrink() {
    start "$TELL" --virtio-mem id=vm0,max=8G,size=512M
    said TOTAL 900 1024
    ctl resize vm0 1536M --wait --timeout 60s >progress
    assert_grep 'vm0: 1536 of 1536 MiB plugged' progress
    said TOTAL 1850 2048
    ctl qom-set vm0 requested-size 0
    ctl resize vm0 0 --wait --timeout 60s
    said TOTAL 400 512
    ctl info memory-devices >info
    assert_grep '^vm0 +0 +0M +0M +8192M +2M +anonymous +complete' info
    assert_grep '"size":1610612736.*MEMORY_DEVICE_SIZE_CHANGE' events
    end
}

# Two devices, each on its own; the guest sees them as memory devices of their own.
check_two_devices() {
    start "$TELL" --virtio-mem id=a,max=1G,size=256M --virtio-mem id=b,max=1G,size=128M
    said TOTAL 830 896
    ctl resize b 384M --wait --timeout 60s
    ctl resize a 0 --wait --timeout 60s
    said TOTAL 830 896
    assert_equal "a" "$(device size 0)" 0
    assert_equal "b" "$(device size 1)" $((384 << 20))
    end
}

run_test grow-and-shrink check_grow_and_shrink
both_test two-devices check_two_devices
