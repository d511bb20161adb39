# SPDX-License-Identifier: Apache-2.0
# gdb and a Debian kernel: stops, breakpoints, watchpoints, steps, a guest with a debugger of its own,
# a reboot, clean ends, a core file, a report with names.
. "$(dirname "$0")/../lib.sh"

# The guest waits while gdb talks.
KV_TIMEOUT=${KV_TIMEOUT_DEBUG:-900s}
DEBUG=$KVMLET_ROOT/tests/boot/debug
# The first test leaves the guest's symbols there for the second.
SHARED=$(mktemp -d /tmp/kvmlet-debug.XXXXXX)
trap 'rm -rf "$SHARED"' EXIT
SYMBOLS="_text start_kernel panic vfs_read ksys_read jiffies_64 el0_svc linux_banner $DEBUG_ENTRIES"
# A function of the timer's interrupt, and the only one that calls it, in another file.
SYMBOLS="$SYMBOLS rcu_sched_clock_irq update_process_times"

# Shell text: the symbols, then a debugger of the guest's own and system calls, for ever.
BUSY="sysctl -w kernel.kptr_restrict=0 >/dev/null
echo '== kallsyms'; grep -E ' [tTdDbBrR] (${SYMBOLS// /|})\$' /proc/kallsyms
echo '== ready'
while :; do dd if=/dev/zero of=/dev/null bs=1 count=100000 2>/dev/null; done &
/own_debugger
echo '== over'"

# The emulated machine may take longer for an answer than the 2 s that gdb waits.
GDB_SETTINGS=(-ex 'set confirm off' -ex 'set pagination off' -ex 'set remotetimeout 60')

# run_gdb COMMAND...: its output is in the file gdb.out.
run_gdb() {
    local arguments=() command
    for command; do arguments+=(-ex "$command"); done
    local status=0
    timeout 300 gdb -nx -batch "${GDB_SETTINGS[@]}" syms.elf \
        -ex 'target remote gdb.sock' "${arguments[@]}" >gdb.out 2>&1 </dev/null || status=$?
    cat gdb.out
    [ "$status" = 0 ] || fail "gdb ended with status $status: $(tail -n 8 gdb.out | paste -sd '|')"
}

# The rounds of the guest's own debugger so far; more_rounds waits for a whole one.
rounds() { tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^own \([0-9]*\) .*/\1/p' | tail -n 1; }
more_rounds() {
    local now
    now=$(rounds)
    wait_for "^own $((${now:-0} + 2)) " "$KV_OUTPUT" 240
}

# A failed test must not leave a busy guest to the next one.
end_guest() { [ -z "${KV_PID:-}" ] || kill "$KV_PID" 2>/dev/null || true; }

# gdb stays connected while the guest runs: gdb_start COMMAND... ends with the guest running.
gdb_start() {
    local arguments=() command
    for command; do arguments+=(-ex "$command"); done
    gdb -nx -batch "${GDB_SETTINGS[@]}" syms.elf -ex 'target remote gdb.sock' "${arguments[@]}" \
        -ex 'echo running\n' -ex continue -ex 'echo stopped\n' -ex delete -ex detach >gdb.out 2>&1 </dev/null &
    GDB_PID=$!
    wait_for '^running' gdb.out
}
# Ctrl-C, and it detaches.
gdb_stop() {
    kill -INT "$GDB_PID"
    wait "$GDB_PID" || fail "gdb ended with status $?: $(tail -n 1 gdb.out)"
    cat gdb.out
    assert_grep '^stopped' gdb.out
    assert_grep 'detached' gdb.out
}

start_busy() {
    cp "$TEST_PROGRAMS/boot/own_debugger" .
    guest_flags "$BUSY"
    echo own_debugger | cpio -o -H newc --quiet >>initrd.img
    with_append "$@"
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    wait_for '== ready'
    section kallsyms >kallsyms
    python3 "$DEBUG/kallsyms_elf.py" kallsyms syms.elf
}

# With address randomisation: the symbols come from the running guest itself.
check_running() {
    trap end_guest EXIT
    start_busy --cpus 2 --gdb unix:gdb.sock
    cp kallsyms "$SHARED/"
    wait_for '^own 2 '
    run_gdb 'info threads' 'break vfs_read' continue bt 'stepi 100' 'p/x $pc' 'info threads' delete \
        'monitor stats' detach
    assert_grep 'vCPU 1' gdb.out
    assert_grep 'Breakpoint 1, 0x[0-9a-f]* in vfs_read' gdb.out
    # Connected, and nothing else.
    gdb_start
    more_rounds
    gdb_stop
    # With a breakpoint of its own, in hardware.
    gdb_start 'hbreak panic'
    more_rounds
    gdb_stop
    python3 "$DEBUG/steps.py" gdb.sock kallsyms 1000
    # All hardware is the guest's again.
    more_rounds
    assert_no_grep "^== over|breakpoint=no|$DEBUG_NEVER"
    assert_equal "the guest's last round" "$(section ready | sed -n 's/^own .*\(steps=.* breakpoint=yes\)$/\1/p' | tail -n 1)" \
        'steps=yes watchpoint=yes breakpoint=yes'
    run_gdb kill
    kv_wait
    assert_status 0
}

# From the first instruction on, without address randomisation, and across a reboot. The other vCPU
# must not stop at the breakpoint while one finishes the function or waits for the watchpoint. gdb's
# `finish` waits for the vCPU, not for the task: only what cannot move to another vCPU before it returns
# can be finished, so that is done in an interrupt.
check_boot() {
    trap end_guest EXIT
    [ -s "$SHARED/kallsyms" ] || fail "no symbols: see the test before"
    python3 "$DEBUG/kallsyms_elf.py" --text "$DEBUG_TEXT" "$SHARED/kallsyms" syms.elf
    truncate -s 1M disk
    guest_start 'modprobe virtio_blk 2>/dev/null
        if [ "$(head -c 4 /dev/vda)" = done ]; then exit 0; fi
        printf done >/dev/vda; sync; reboot -f' \
        --append nokaslr --cpus 2 --disk disk --gdb unix:gdb.sock,wait --symbols syms.elf
    until [ -S gdb.sock ] || ! kill -0 "$KV_PID"; do sleep 0.1; done
    run_gdb 'p/x $pc' 'hbreak start_kernel' 'break vfs_read' continue 'p $pc' bt 'info threads' \
        continue 'monitor kaslr' 'p $pc' bt 'delete 2' 'break rcu_sched_clock_irq' continue 'disable 3' finish \
        'watch *(long *)&jiffies_64' continue 'delete 3 4' continue delete detach
    assert_grep '^Breakpoint 1, 0x[0-9a-f]* in start_kernel|hit Breakpoint 1, 0x[0-9a-f]* in start_kernel' gdb.out
    assert_grep 'vCPU 1' gdb.out
    assert_grep 'Breakpoint 2, 0x[0-9a-f]* in vfs_read' gdb.out
    assert_grep '^#1 .* in (ksys_read|__arm64_sys_read)' gdb.out
    assert_grep "plus 0x0 \($DEBUG_ANCHOR\)" gdb.out
    assert_grep '^symbol-file -o 0x0 syms.elf' gdb.out
    assert_grep 'Breakpoint 3, 0x[0-9a-f]* in rcu_sched_clock_irq' gdb.out
    assert_grep '^0x[0-9a-f]* in update_process_times' gdb.out
    assert_grep 'Hardware watchpoint 4' gdb.out
    assert_grep 'New value = ' gdb.out
    assert_equal 'times at start_kernel' "$(grep -c 'Breakpoint 1, .*start_kernel' gdb.out)" 2
    kv_wait
    assert_status 0
    assert_equal 'the disk' "$(head -c 4 disk)" 'done'
}

# A kernel that panicked, afterwards: its own address for its banner is in the file, with KASLR.
check_core() {
    needs_tool readelf
    guest "sysctl -w kernel.kptr_restrict=0 >/dev/null
        echo '== kallsyms'; grep -E ' [tTdDbBrR] (linux_banner|panic)\$' /proc/kallsyms
        echo '== ready'
        echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60" \
        --cpus 2 --memory 256M --on-hang dump=guest.core
    assert_status 80
    assert_json core guest.core
    section kallsyms >kallsyms
    python3 "$DEBUG/kallsyms_elf.py" kallsyms syms.elf
    readelf -nW guest.core >notes
    assert_grep 'VMCOREINFO' notes
    assert_equal 'vCPUs in the file' "$(grep -c NT_PRSTATUS notes)" 2
    timeout 300 gdb -nx -batch syms.elf -c guest.core -ex 'info threads' -ex 'x/s &linux_banner' \
        -ex 'x/i $pc' >gdb.out 2>&1 </dev/null || fail "gdb ended with status $?: $(tail -n 1 gdb.out)"
    cat gdb.out
    assert_grep 'LWP 2' gdb.out
    assert_grep '"Linux version 6' gdb.out
    assert_no_grep 'Cannot access memory' gdb.out
    local size used
    size=$(stat -c %s guest.core) used=$(($(stat -c %b guest.core) * 512))
    [ "$used" -lt "$size" ] || fail "the file has no holes: $used bytes of $size"
    rm guest.core
}

# panicked FILE: a guest whose kernel is somewhere else panics, and the report names who called whom.
panicked() {
    local name
    guest 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60' --cpus 2 --symbols "$1"
    assert_status 80
    json_get registers >report
    cat report
    assert_grep "^symbols of $1, offset 0x[0-9a-f]+ \($DEBUG_ANCHOR\)\$" report
    for name in panic sysrq_handle_crash __handle_sysrq vfs_write; do
        assert_grep "^  ffff[0-9a-f]{12} [ ?] $name\+0x[0-9a-f]+/0x[0-9a-f]+\$" report
    done
}

# The first guest says where its kernel has what; those that panic are elsewhere.
check_symbols() {
    truncate -s 32M disk
    guest 'modprobe virtio_blk 2>/dev/null; sysctl -w kernel.kptr_restrict=0 >/dev/null
        grep -E " [tTwW] | (linux_banner|_end)\$" /proc/kallsyms >/dev/vda && sync' \
        --append nokaslr --disk disk
    assert_status 0
    tr -d '\0' <disk >kallsyms
    rm disk
    assert_grep ' sysrq_handle_crash$' kallsyms
    panicked kallsyms
    assert_grep "^backtrace \($DEBUG_METHOD\):" report
    [ -n "$DEBUG_TABLES" ] || return 0
    python3 "$DEBUG/kallsyms_elf.py" --orc "$DEBUG_TABLES" kallsyms vmlinux
    panicked vmlinux
    assert_grep '^backtrace \(ORC\):' report
    # Each of them is known to have called the one before.
    assert_equal 'the callers' "$(sed -n 's/^  ffff[0-9a-f]*   \([a-z0-9_]*\)+.*/\1/p' report | awk '
        /^(panic|sysrq_handle_crash|__handle_sysrq|vfs_write|ksys_write|do_syscall_64)$/' | xargs)" \
        'panic sysrq_handle_crash __handle_sysrq vfs_write ksys_write do_syscall_64'
}

command -v gdb >/dev/null || { report SKIP all "gdb is not installed" && exit 0; }
run_test running check_running
run_test boot check_boot
run_test core check_core
run_test symbols check_symbols
