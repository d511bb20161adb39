# SPDX-License-Identifier: Apache-2.0
# A guest whose vCPUs share one of the host's CPUs learns that it waits, also after a reset.
. "$(dirname "$0")/../lib.sh"

# Works on both CPUs until each was told of a second that it did not get; when that is, is the host's
# affair. The share is for people.
# shellcheck disable=SC2016 # expanded in the guest
WORK='
stolen() { awk -v cpu="cpu$1" "\$1 == cpu { print \$9 }" /proc/stat; }
total() { awk -v cpu="cpu$1" "\$1 == cpu { for (i = 2; i <= 9; i++) n += \$i; print n }" /proc/stat; }
for i in 1 2 3 4; do (while :; do :; done) & done
sleep 1
first0=$(stolen 0) first1=$(stolen 1) from=$(total 0)
until [ $(($(stolen 0) - first0)) -ge 100 ] && [ $(($(stolen 1) - first1)) -ge 100 ]; do sleep 0.3; done
echo "SHARE $((($(stolen 0) - first0) * 100 / ($(total 0) - from))) percent"
echo "STOLEN $(stolen 0) $(stolen 1)"
kill $(jobs -p)
sleep 100000'

# One of the host's CPUs for all of kvmlet's threads, also those to come.
confine() {
    local cpu
    cpu=$(awk '/^Cpus_allowed_list/ { split($2, list, /[-,]/); print list[1] }' /proc/self/status)
    taskset -a -p -c "$cpu" "$KV_PID" || fail "kvmlet's threads cannot be bound to CPU $cpu"
}

# until_boots N: until N boots have told what was stolen of them.
until_boots() {
    local left=2000
    until [ "$(grep -c '^STOLEN' "$KV_OUTPUT")" -ge "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "boot $1 was told of no stolen time"
        kill -0 "$KV_PID" || fail "kvmlet ended in boot $1"
        sleep 0.2
    done
}

check_stolen() {
    needs_tool taskset
    "$KVMLET" doctor | grep -q '^ok  *kvm STEAL_TIME' || skip "this host counts no stolen time"
    KV_TIMEOUT=900s
    guest_start "$WORK" --cpus 2 --memory 256M --qmp unix:vm.sock
    confine
    until_boots 1
    "$KVMLET" ctl vm.sock reset
    until_boots 2
    grep '^SHARE' "$KV_OUTPUT"
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
}

run_test stolen-time check_stolen
