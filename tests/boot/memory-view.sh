# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Guests whose memory grows and shrinks: what they tell, and what the monitor tells. Sourced after
# lib.sh. MiB everywhere.

# shellcheck disable=SC2034 # for those who source this
ONLINE=memhp_default_state=online_movable

ctl() { "$KVMLET" ctl vm.sock "$@"; }

# last WORD: what the guest said last in a line "WORD NUMBER".
last() { tr -d '\r' <"$KV_OUTPUT" | sed -n "s/^$1 \([0-9]*\)\$/\1/p" | tail -n 1; }

# said WORD LOW HIGH: until the last number that the guest told lies between them.
said() {
    local left=600 now
    until now=$(last "$1") && now=${now:-0} && [ "$now" -ge "$2" ] && [ "$now" -le "$3" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest tells $1 $now, not between $2 and $3"
        sleep 0.2
    done
}

# device KEY [INDEX]: a value of query-memory-devices.
device() {
    ctl --json qmp query-memory-devices >devices.json
    json_get "${2:-0}.data.$1" devices.json
}

# start TEXT FLAG...: the kernel's complaints come out, too, once it is up; see end.
start() {
    guest_start "dmesg -n 5
$1" --memory 512M --qmp unix:vm.sock --events events --append "$ONLINE" "${@:2}"
    wait_for . "$KV_OUTPUT"
}

end() {
    ctl quit
    kv_wait
    assert_status 0
    assert_no_grep 'marking device broken|WARNING|BUG:'
}
