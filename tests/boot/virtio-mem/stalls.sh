# SPDX-License-Identifier: Apache-2.0
# Guests that do not follow, or not all the way: the device says so, and why, and goes on when they can.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

KV_TIMEOUT=600s

# is_stalled REASON: until the device says that its guest does no more.
is_stalled() {
    local left=600
    until ctl info memory-devices >info && grep -Eq '^vm0 .* stalled *$' info; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "not stalled: $(tr '\n' ' ' <info)"
        sleep 0.2
    done
    assert_grep "^vm0: .*$1" info
}

# Without bringing it online Linux takes 1 GiB and no more, until somebody does.
# shellcheck disable=SC2016 # expanded in the guest
OFFLINE='
echo READY
until [ "$(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 2)" = go ]; do sleep 0.5; done
while :; do
    for state in /sys/devices/system/memory/memory*/state; do
        [ "$(cat $state)" = online ] || echo online_movable >$state
    done
    awk "/MemTotal/ { print \"TOTAL\", int(\$2 / 1024) }" /proc/meminfo
    sleep 0.5
done'

check_offline() {
    truncate -s 64K disk
    start "$OFFLINE" --virtio-mem id=vm0,max=4G --disk disk --append memhp_default_state=offline
    wait_for '^READY'
    ctl qom-set vm0 requested-size 2G
    is_stalled memhp_default_state=online_movable
    assert_between "the plugged size" "$(device size)" $((1024 << 20)) $((1280 << 20))
    printf 'go' | dd of=disk conv=notrunc 2>/dev/null
    ctl resize vm0 2G --wait --timeout 100s
    said TOTAL 2400 2560
    end
}

# What the kernel itself keeps in there cannot be moved: thousands of files' names.
# shellcheck disable=SC2016 # expanded in the guest
KEEP='
total() { awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo; }
until [ "$(total)" -ge 900 ]; do sleep 0.3; done
mkdir /tmp/names
i=0
while [ $i -lt 6000 ]; do : >/tmp/names/$i; i=$((i + 1)); done
echo READY
while :; do echo "TOTAL $(total)"; sleep 0.5; done'

check_partial() {
    local first size gap left
    start "$KEEP" --virtio-mem id=vm0,max=1G,size=512M --append memhp_default_state=online_kernel
    wait_for '^READY'
    said TOTAL 900 1024
    first=$(last TOTAL)
    ctl qom-set vm0 requested-size 0
    # It has what the device says, once it has done what it can.
    left=300
    until is_stalled 'the guest gives no more back' && size=$(($(device size) >> 20)) &&
        gap=$(($(last TOTAL) - (first - 512 + size))) && [ "$size" -lt 512 ] && [ "${gap#-}" -le 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest has $(last TOTAL), the device $size plugged, of $first and 512 before"
        sleep 0.5
    done
    assert_between "the plugged MiB that the guest keeps" "$size" 2 510
    ctl resize vm0 512M --wait --timeout 100s
    said TOTAL $((first - 2)) $((first + 2))
    end
}

# Each size replaces the one before, wherever the guest is.
# shellcheck disable=SC2016 # expanded in the guest
TELL='
while :; do awk "/MemTotal/ { print \"TOTAL\", int(\$2 / 1024) }" /proc/meminfo; sleep 0.3; done'

check_hasty() {
    local i nacks
    start "$TELL" --virtio-mem id=vm0,max=1G
    RANDOM=4711
    for ((i = 0; i < 60; i++)); do
        ctl qom-set vm0 requested-size $((RANDOM % 512 * 2))M
    done
    ctl resize vm0 512M --wait --timeout 100s
    said TOTAL 900 1024
    ctl resize vm0 0 --wait --timeout 100s
    ctl --json qmp query-memory-devices >devices.json
    assert_grep '"busy": ?0' devices.json
    assert_grep '"error": ?0' devices.json
    # A driver that is refused what it asks for asks again at once: it must soon know better.
    nacks=$(sed -n 's/.*"nack": *\([0-9]*\).*/\1/p' devices.json)
    assert_between "the number of refused requests" "$nacks" 0 60
    end
}

# fault KEY=VALUE...
fault() { ctl __org.kvmlet_memory-fault id=vm0 "$@"; }

# answered WORD: how often the device has answered so.
answered() {
    ctl --json qmp query-memory-devices >devices.json
    sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" devices.json
}

# What the driver makes of each answer that a host under pressure gives: of NACK it asks again at once, of
# BUSY when something changes, a late answer is one all the same, and after ERROR it gives the device up.
check_faults() {
    start "$TELL" --virtio-mem id=vm0,max=1G
    wait_for '^TOTAL'
    fault request=plug response=nack count=3
    ctl resize vm0 256M --wait --timeout 100s
    assert_between "the refused requests" "$(answered nack)" 3 3
    fault request=plug response=busy
    ctl qom-set vm0 requested-size 512M
    until ctl info memory-devices >info && grep -Eq '^vm0 .* busy *$' info; do sleep 0.2; done
    assert_equal "the plugged size while the host is busy" "$(device size)" $((256 << 20))
    ctl __org.kvmlet_memory-fault-clear id=vm0
    ctl resize vm0 512M --wait --timeout 30s
    said TOTAL 900 1024
    fault request=unplug delay-ms=300 count=2
    ctl resize vm0 128M --wait --timeout 100s
    said TOTAL 500 640
    assert_no_grep 'marking device broken'
    fault request=plug response=error count=1
    ctl qom-set vm0 requested-size 256M
    wait_for 'marking device broken'
    assert_equal "the plugged size afterwards" "$(device size)" $((128 << 20))
    ctl quit
    kv_wait
    assert_status 0
}

long_test not-online check_offline
both_test partial check_partial
long_test hasty-resizes check_hasty
both_test faults check_faults
