# SPDX-License-Identifier: Apache-2.0
# A guest whose vCPUs share one of the host's CPUs learns that it waits, also after a reset.
. "$(dirname "$0")/../lib.sh"

# Works on both CPUs until each was told of five seconds that it did not get. The share is that of the
# time on the clock: a CPU that comes too late for its ticks counts some of them only.
# shellcheck disable=SC2016 # expanded in the guest
WORK='
# In hundredths of a second: since the start, stolen of CPU 0, of CPU 1.
times_of() { awk "FILENAME ~ /uptime/ { now = \$1 * 100 } /^cpu[01] / { s[\$1] = \$9 }
    END { printf \"%d %d %d\", now, s[\"cpu0\"], s[\"cpu1\"] }" /proc/uptime /proc/stat; }
for i in 1 2 3 4; do (while :; do :; done) & done
sleep 1
set -- $(times_of)
from=$1 first0=$2 first1=$3
until set -- $(times_of); [ $(($2 - first0)) -ge 500 ] && [ $(($3 - first1)) -ge 500 ]; do sleep 1; done
echo "SHARE $((($2 - first0) * 100 / ($1 - from))) $((($3 - first1) * 100 / ($1 - from))) percent"
echo "STOLEN $2 $3"
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
    local left=200
    until [ "$(grep -c '^STOLEN' "$KV_OUTPUT")" -ge "$1" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "boot $1 was told of no stolen time"
        kill -0 "$KV_PID" || fail "kvmlet ended in boot $1"
        # What this does is stolen, too.
        sleep 2
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
    local first second rest
    while read -r _ first second rest; do
        figure "stolen of CPU 0: $first $rest, of CPU 1: $second $rest"
        # Half of it, and what the monitor and this machine do meanwhile: 53 percent on a quiet one.
        assert_between "what was stolen of CPU 0" "$first" 45 60
        assert_between "what was stolen of CPU 1" "$second" 45 60
    done < <(tr -d '\r' <"$KV_OUTPUT" | grep '^SHARE')
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
}

both_test stolen-time check_stolen
