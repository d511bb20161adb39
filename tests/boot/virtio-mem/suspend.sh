# SPDX-License-Identifier: Apache-2.0
# A guest that suspends with plugged memory finds it again, and the device goes on. Linux stops before the
# last step, which needs something to wake it: its drivers have let go of all devices then.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=600s

# Movable memory is all the device's, and a file is there first.
# shellcheck disable=SC2016 # expanded in the guest
SLEEP='
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
until [ "$(total)" -ge 700 ]; do sleep 0.3; done
dd if=/dev/urandom of=/tmp/keep bs=1M count=64 2>/dev/null
md5sum /tmp/keep >/tmp/sum
echo devices >/sys/power/pm_test && echo freeze >/sys/power/state
echo "SLEPT $?"
dmesg | grep -E "PM: suspend (entry|exit|debug)" 
while :; do
    echo "TOTAL $(total)"
    md5sum -c /tmp/sum
    sleep 0.5
done'

check_suspend() {
    start "$SLEEP" --virtio-mem id=vm0,max=1G,size=256M
    wait_for '^SLEPT' "$KV_OUTPUT" 300
    assert_grep '^SLEPT 0'
    wait_for '^/tmp/keep: OK'
    assert_grep 'PM: suspend exit'
    assert_equal "the plugged size" "$(device size)" $((256 << 20))
    ctl resize vm0 512M --wait --timeout 100s
    said TOTAL 900 1024
    # The file moves to the rest of the memory.
    ctl resize vm0 0 --wait --timeout 100s
    said TOTAL 400 512
    : >"$KV_OUTPUT"
    wait_for '^/tmp/keep: OK'
    assert_no_grep '^/tmp/keep: FAILED'
    ctl --json qmp query-memory-devices >devices.json
    assert_grep '"error": ?0' devices.json
    end
}

long_test suspend check_suspend
