# SPDX-License-Identifier: Apache-2.0
# A running Linux guest under control: QMP by a client that is not ours, kvmlet ctl, the terminal.
. "$(dirname "$0")/../lib.sh"

TICK='i=0; while :; do i=$((i + 1)); echo "tick $i"; sleep 0.2; done'

ticks() { tr -d '\r' <"$KV_OUTPUT" | grep -c '^tick'; }

check_stop_cont() {
    guest_start "$TICK" --qmp unix:vm.sock --events events --cpus 2
    wait_for 'tick 3'
    "$KVMLET" ctl vm.sock stop
    "$KVMLET" ctl vm.sock status | grep -q paused || fail "the status is not 'paused'"
    local before
    before=$(ticks)
    sleep 2
    assert_equal "the number of ticks after two seconds" "$(ticks)" "$before"
    "$KVMLET" ctl vm.sock cont
    wait_for "tick $((before + 3))"
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
    assert_json reason quit
    assert_grep '"STOP"' events
    assert_grep '"RESUME"' events
    [ ! -e vm.sock ] || fail "the socket is left"
}

check_system_reset() {
    guest_start 'cat /proc/sys/kernel/random/boot_id; echo READY; sleep 600' --qmp unix:vm.sock
    wait_for READY
    "$KVMLET" ctl vm.sock reset
    local left=600
    until [ "$(grep -c READY "$KV_OUTPUT")" = 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest did not come up again"
        sleep 0.2
    done
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_equal "the number of different boots" "$(grep -E '^[0-9a-f-]{36}' "$KV_OUTPUT" | sort -u | wc -l)" 2
}

# QEMU's own client library drives the machine and sees its events.
check_foreign_client() {
    # The library is Python alone: the interpreter of this machine takes it from where tests/clients has put it.
    local library
    library=$(echo "$KVMLET_BUILD"/venv/lib/python3*/site-packages)
    [ -d "$library/qemu/qmp" ] || skip "the client library is not installed: tests/clients makes build/venv"
    guest_start "$TICK" --qmp unix:vm.sock --cpus 2
    wait_for 'tick 3'
    PYTHONPATH=$library /usr/bin/python3 "$KVMLET_ROOT/tests/boot/control/qmp_session.py" vm.sock >session 2>&1 ||
        fail "the client failed: $(tail -n 1 session)"
    kv_wait
    assert_status 0
    assert_json reason quit
}

check_registers() {
    guest_start 'echo READY; sleep 600' --qmp unix:vm.sock --cpus 2
    wait_for READY
    "$KVMLET" ctl vm.sock info registers >registers
    assert_grep 'vcpu 1' registers
    assert_grep "$KERNEL_PC" registers
    "$KVMLET" ctl vm.sock info cpus >cpus
    assert_between "the number of CPUs' lines" "$(grep -c . cpus)" 2 4
    "$KVMLET" ctl vm.sock quit
    kv_wait
}

# Two vCPUs' boot: what was recorded is what was counted, reason by reason.
check_exits() {
    KV_TIMEOUT=600s guest_start 'echo READY; sleep 900' --qmp unix:vm.sock --cpus 2 \
        --trace-exits exits.trace,size=16M
    wait_for READY "$KV_OUTPUT" 500
    "$KVMLET" ctl vm.sock stop
    "$KVMLET" ctl vm.sock info exits --json >counted.json
    "$KVMLET" exits exits.trace --json >traced.json
    "$KVMLET" exits exits.trace --list >list
    python3 "$KVMLET_ROOT/tests/boot/control/exits.py" counted.json traced.json list >compared 2>&1 ||
        fail "$(tail -n 1 compared)"
    "$KVMLET" ctl vm.sock info exits >table
    assert_grep '^[01] +mmio +[0-9]+ +[0-9.]+[mu]?s ' table
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
    "$KVMLET" exits exits.trace >table
    assert_grep '^[0-9]+ exits of 2 vCPUs in [0-9.]+m?s$' table
    assert_grep '^mmio +[0-9]+ ' table
}

# The guest's terminal on hvc0, typed to by a person.
check_terminal() {
    needs_tool tmux
    guest_flags 'stty -F /dev/console sane; exec setsid cttyhack sh -i'
    local socket=$PWD/tmux
    tmux -S "$socket" new-session -d -x 100 -y 30 \
        "$KVMLET run ${GUEST_FLAGS[*]} $1 --append 'quiet' --verdict $PWD/$KV_VERDICT; echo STATUS=\$?; sleep 60"
    pane_has "$socket" '#$'
    tmux -S "$socket" send-keys 'echo $((40 + 2))' Enter
    pane_has "$socket" '^42'
    tmux -S "$socket" send-keys C-a c
    pane_has "$socket" '\(kvmlet\)'
    tmux -S "$socket" send-keys 'status' Enter
    pane_has "$socket" 'running'
    tmux -S "$socket" send-keys C-a x
    pane_has "$socket" 'STATUS=0'
    # The terminal is the user's again: it echoes.
    tmux -S "$socket" kill-server
}

pane_has() { # pane_has SOCKET PATTERN
    local left=200
    until tmux -S "$1" capture-pane -p | sed 's/ *$//; s/$//' | grep -Eq -- "$2"; do
        left=$((left - 1))
        if [ "$left" = 0 ]; then
            tmux -S "$1" capture-pane -p >"$KV_OUTPUT"
            tmux -S "$1" kill-server
            fail "the screen does not show '$2'"
        fi
        sleep 0.2
    done
}

run_test stop-cont check_stop_cont
run_test system-reset check_system_reset
run_test foreign-client check_foreign_client
run_test registers check_registers
run_test exits check_exits
run_test terminal-serial check_terminal ''
run_test terminal-console check_terminal --console
