# SPDX-License-Identifier: Apache-2.0
# virtio-mem with Linux' own driver: the guest follows both ways, and what it gives back is the
# host's again. MiB everywhere.
. "$(dirname "$0")/../lib.sh"

# The guest tells what it has, for ever.
# shellcheck disable=SC2016 # expanded in the guest
TELL='
tell() { echo "TOTAL $(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo)"; }
while :; do tell; sleep 0.3; done'
ONLINE=memhp_default_state=online_movable

ctl() { "$KVMLET" ctl vm.sock "$@"; }
resident_mib() { echo $(($(awk '/^VmRSS:/ { print $2 }' "/proc/$KV_PID/status") / 1024)); }

# total: what the guest told last.
total() { tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^TOTAL \([0-9]*\)$/\1/p' | tail -n 1; }

# total_is LOW HIGH: until the guest tells a total between them.
total_is() {
    local left=300 now
    until now=$(total) && now=$((${now:-0} / 1024)) && [ "$now" -ge "$1" ] && [ "$now" -le "$2" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest has $now MiB, not between $1 and $2"
        sleep 0.2
    done
}

# device KEY [INDEX]: a value of query-memory-devices.
device() {
    ctl --json qmp query-memory-devices >devices.json
    json_get "${2:-0}.data.$1" devices.json
}

start() { # start TEXT FLAG...
    guest_start "$1" --memory 512M --qmp unix:vm.sock --events events --append "$ONLINE" "${@:2}"
    wait_for . "$KV_OUTPUT"
}

end() {
    ctl quit
    kv_wait
    assert_status 0
    assert_no_grep 'marking device broken|WARNING|BUG:'
}

# As its users know it: 1 GiB at the start, more, then nothing.
check_grow_and_shrink() {
    start "$TELL" --virtio-mem id=vm0,max=8G,size=512M
    total_is 900 1024
    ctl resize vm0 1536M --wait --timeout 60s >progress
    assert_grep 'vm0: 1536 of 1536 MiB plugged' progress
    total_is 1850 2048
    ctl qom-set vm0 requested-size 0
    ctl resize vm0 0 --wait --timeout 60s
    total_is 400 512
    ctl info memory-devices >info
    assert_grep '^vm0 +0 +0M +0M +8192M +2M +anonymous +complete' info
    assert_grep '"size":1610612736.*MEMORY_DEVICE_SIZE_CHANGE' events
    end
}

# Fills 400 MiB of the new memory with a file, frees it, and gives it back.
FILL='
echo READY
until [ "$(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo)" -gt 900000 ]; do sleep 0.2; done
mount -o remount,size=1G /tmp
dd if=/dev/zero of=/tmp/big bs=1M count=500 2>/dev/null; echo FULL
sleep 2; rm /tmp/big; echo FREED
while :; do sleep 1; done'

check_memory_returns() { # check_memory_returns KEYS
    local before full after
    start "$FILL" --virtio-mem "id=vm0,max=2G,size=0$1"
    before=$(resident_mib)
    ctl resize vm0 640M --wait --timeout 60s
    wait_for FREED
    full=$(resident_mib)
    ctl resize vm0 0 --wait --timeout 100s
    sleep 3
    after=$(resident_mib)
    echo "resident MiB: $before before, $full full, $after after; backing '$1'"
    [ "$full" -gt $((before + 350)) ] || fail "the guest's file is not in new memory: $before, then $full"
    # What it touched of its first memory meanwhile stays.
    [ "$after" -lt $((full - 350)) ] || fail "the host has $((full - after)) MiB back of $full"
    end
}

# Two devices, each on its own; the guest sees them as memory devices of their own.
check_two_devices() {
    start "$TELL" --virtio-mem id=a,max=1G,size=256M --virtio-mem id=b,max=1G,size=128M
    total_is 830 896
    ctl resize b 384M --wait --timeout 60s
    ctl resize a 0 --wait --timeout 60s
    total_is 830 896
    assert_equal "a" "$(device size 0)" 0
    assert_equal "b" "$(device size 1)" $((384 << 20))
    end
}

run_test grow-and-shrink check_grow_and_shrink
run_test memory-returns-anonymous check_memory_returns ''
run_test two-devices check_two_devices
