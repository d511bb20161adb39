# SPDX-License-Identifier: Apache-2.0
# The memory balloon and free page reporting, with Linux' own driver. What counts is what the host
# has back afterwards, and that the guest's other memory keeps its content.
. "$(dirname "$0")/../lib.sh"

resident_mib() { echo $(($(awk '/^VmRSS:/ { print $2 }' "/proc/$KV_PID/status") / 1024)); }

# wait_resident LIMIT: until the monitor's resident memory is below so many MiB.
wait_resident() {
    local left=300
    until [ "$(resident_mib)" -lt "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the monitor still has $(resident_mib) MiB, not below $1"
        sleep 0.2
    done
}

balloon_is() { # balloon_is BYTES: until the guest has followed
    local left=300
    until "$KVMLET" ctl vm.sock info balloon | grep -q "\"actual\": $1$"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the balloon stays at $("$KVMLET" ctl vm.sock info balloon)"
        sleep 0.2
    done
}

# Fills 256 MiB beside a file whose checksum is checked without end, and frees them when told.
LOAD='
dd if=/dev/urandom of=/tmp/keep bs=1M count=24 2>/dev/null
md5sum /tmp/keep >/tmp/sum
dd if=/dev/zero of=/tmp/big bs=1M count=256 2>/dev/null
echo FULL
sleep 4
rm /tmp/big
echo FREED
while :; do md5sum -c /tmp/sum; sleep 0.2; done'

check_reporting() {
    local full
    guest_start "$LOAD" --memory 512M --balloon reporting --qmp unix:vm.sock
    wait_for FULL
    full=$(resident_mib)
    wait_for FREED
    wait_resident $((full - 150))
    echo "resident MiB: $full full, $(resident_mib) after the guest freed 256"
    wait_for '/tmp/keep: OK'
    "$KVMLET" ctl vm.sock qom-get balloon0 reported-bytes >reported
    assert_between "the number of reported bytes" "$(cat reported)" $((150 << 20)) $((4 << 30))
    : >"$KV_OUTPUT"
    wait_for '/tmp/keep: OK'
    assert_no_grep FAILED
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
}

# A guest that fills its free pages with a pattern must find it again: nothing goes back.
check_poison() {
    local full
    guest_start "$LOAD" --memory 512M --balloon reporting --qmp unix:vm.sock --append page_poison=1
    wait_for FULL
    full=$(resident_mib)
    wait_for '/tmp/keep: OK'
    sleep 4
    assert_between "the resident MiB" "$(resident_mib)" $((full - 20)) 600
    assert_no_grep FAILED
    "$KVMLET" ctl vm.sock quit
    kv_wait
}

check_inflate() {
    local full
    guest_start 'dd if=/dev/zero of=/tmp/big bs=1M count=256 2>/dev/null; rm /tmp/big; echo READY; sleep 600' \
        --memory 512M --balloon stats=1 --qmp unix:vm.sock --events events
    wait_for READY
    full=$(resident_mib)
    "$KVMLET" ctl vm.sock balloon 256M
    balloon_is $((256 << 20))
    wait_resident $((full - 180))
    echo "resident MiB: $full before, $(resident_mib) with 256 given up"
    "$KVMLET" ctl vm.sock qom-get balloon0 guest-stats >stats
    # The balloon's pages are still in the guest's total, not in what is free.
    assert_between "stat-free-memory" "$(sed -n 's/.*"stat-free-memory": \([0-9]*\).*/\1/p' stats)" 1 $((250 << 20))
    assert_between "stat-total-memory" "$(sed -n 's/.*"stat-total-memory": \([0-9]*\).*/\1/p' stats)" $((100 << 20)) $((512 << 20))
    "$KVMLET" ctl vm.sock balloon 1T
    balloon_is $((512 << 20))
    wait_for '"actual":536870912' events 20
    assert_grep BALLOON_CHANGE events
    "$KVMLET" ctl vm.sock reset
    wait_for 'READY' "$KV_OUTPUT"
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
}

run_test reporting check_reporting
both_test poison check_poison
run_test inflate check_inflate
