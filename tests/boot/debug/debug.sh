# SPDX-License-Identifier: Apache-2.0
# gdb and a Debian kernel: stops, breakpoints, watchpoints, steps, a guest with a debugger of its own,
# a reboot, clean ends, a core file, a report with names.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../gdb.sh"

# The guest waits while gdb talks.
KV_TIMEOUT=${KV_TIMEOUT_DEBUG:-900s}
DEBUG=$KVMLET_ROOT/tests/boot/debug
# The first test leaves the guest's symbols there for the second.
SHARED=$(mktemp -d /tmp/kvmlet-debug.XXXXXX)
trap 'rm -rf "$SHARED"' EXIT
SYMBOLS="_text start_kernel panic vfs_read ksys_read jiffies_64 el0_svc linux_banner $DEBUG_ENTRIES"
# A function of the timer's interrupt, and the only one that calls it, in another file.
SYMBOLS="$SYMBOLS rcu_sched_clock_irq update_process_times"
# Where a module is complete, before its first instruction.
SYMBOLS="$SYMBOLS do_init_module"

# Shell text: the symbols, then a debugger of the guest's own and system calls, for ever.
BUSY="sysctl -w kernel.kptr_restrict=0 >/dev/null
echo '== kallsyms'; grep -E ' [tTdDbBrR] (${SYMBOLS// /|})\$' /proc/kallsyms
echo '== ready'
while :; do dd if=/dev/zero of=/dev/null bs=1 count=100000 2>/dev/null; done &
/own_debugger
echo '== over'"

# The rounds of the guest's own debugger so far; more_rounds waits for a whole one.
rounds() { tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^own \([0-9]*\) .*/\1/p' | tail -n 1; }
more_rounds() {
    local now
    now=$(rounds)
    wait_for "^own $((${now:-0} + 2)) " "$KV_OUTPUT" 240
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
    wait_for_socket
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

# A module of a guest with four vCPUs and KASLR: a stop before its first instruction, and a breakpoint in
# code of it that runs later, at the address that the guest told. The loops of the guest cause both for
# ever: loop's lo_ioctl runs when somebody asks for the device's state.
check_modules() {
    trap end_guest EXIT
    guest_flags "sysctl -w kernel.kptr_restrict=0 >/dev/null
        modprobe loop max_loop=1
        echo '== kallsyms'; grep -E ' [tTdDbBrR] (${SYMBOLS// /|})\$' /proc/kallsyms
        echo '== module'; grep -E ' lo_ioctl[[:space:]]+\[loop\]' /proc/kallsyms
        modprobe -r crc32c_generic 2>/dev/null
        echo '== ready'
        while :; do losetup /dev/loop0; modprobe crc32c_generic; modprobe -r crc32c_generic; done >/dev/null 2>&1"
    with_append --cpus 4 --gdb unix:gdb.sock
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    wait_for '== ready'
    section kallsyms >kallsyms
    python3 "$DEBUG/kallsyms_elf.py" kallsyms syms.elf
    local place
    place=0x$(section module | awk 'NR == 1 { print $1 }')
    [ "$place" != 0x ] || fail "the guest told no address in its module"
    run_gdb 'info threads' 'break *do_init_module' continue bt "x/s $DEBUG_ARGUMENT + 24" 'delete 1' \
        "break *$place" continue 'p/x $pc' 'stepi 3' 'info threads' "monitor walk $place" delete detach
    local number
    for number in 0 1 2 3; do assert_grep "\"vCPU $number\"" gdb.out; done
    assert_grep 'Breakpoint 1, 0x[0-9a-f]* in do_init_module' gdb.out
    # struct module: its state, a list, its name.
    assert_grep '"crc32c_generic"' gdb.out
    assert_grep "^Thread [0-9.]* \"vCPU [0-3]\" hit Breakpoint 2, |^Breakpoint 2, " gdb.out
    assert_equal 'where it stopped' "$(sed -n 's/^\$1 = //p' gdb.out)" "0x$(printf %s "${place#0x}" | sed 's/^0*//')"
    run_gdb kill
    kv_wait
    assert_status 0
}

# Who switches the machine off is seen before it goes off.
check_catch() {
    trap end_guest EXIT
    [ -s "$SHARED/kallsyms" ] || fail "no symbols: see the test before"
    python3 "$DEBUG/kallsyms_elf.py" --text "$DEBUG_TEXT" "$SHARED/kallsyms" syms.elf
    guest_start 'poweroff -f; sleep 60' --append nokaslr --cpus 2 --gdb unix:gdb.sock,wait
    wait_for_socket
    run_gdb "monitor catch $POWEROFF_CATCH" 'monitor catch' continue 'p/x $pc' 'info threads' continue
    assert_equal 'what is caught' "$(grep -c "^1: $POWEROFF_CATCH\$" gdb.out)" 2
    assert_grep "^catch 1: vCPU [01], $POWEROFF_CAUGHT" gdb.out
    assert_grep '^\$1 = 0xffff[0-9a-f]{12}$' gdb.out
    assert_grep 'exited normally' gdb.out
    kv_wait
    assert_status 0
    assert_json door "$POWEROFF_DOOR"
}

# ticks FILE, busy FILE: how often a program on CPU 0 has spoken, and how much time it saw another spend on CPU 1.
ticks() { grep -c '^tick at ' "$1"; }
busy() { tr -d '\r' <"$1" | sed -n 's/^tick at \([0-9][0-9]*\)$/\1/p' | tail -n 1; }

# One vCPU stands and the other runs. What runs on the one that stands holds nothing that the other needs.
check_non_stop() {
    trap end_guest EXIT
    [ -s "$SHARED/kallsyms" ] || fail "no symbols: see the test before"
    python3 "$DEBUG/kallsyms_elf.py" "$SHARED/kallsyms" syms.elf
    # shellcheck disable=SC2016 # expanded in the guest
    guest_start 'for irq in /proc/irq/*/smp_affinity; do echo 1 >$irq; done 2>/dev/null
        taskset -c 1 sh -c "while :; do :; done" &
        taskset -c 0 sh -c "while read -r stat </proc/$!/stat; do
            set -- \$stat; echo tick at \${14}; usleep 200000
        done" &
        sleep 600' --cpus 2 --gdb unix:gdb.sock
    wait_for '^tick at [1-9]'
    timeout "$GDB_LIMIT" gdb -nx -batch "${GDB_SETTINGS[@]}" -ex 'set non-stop on' syms.elf \
        -ex 'target remote gdb.sock' -ex 'info threads' -ex 'thread 1' -ex 'continue &' -ex 'thread 2' \
        -ex interrupt -ex 'shell sleep 1' -ex "shell cp $KV_OUTPUT before" -ex 'shell sleep 4' \
        -ex "shell cp $KV_OUTPUT after" -ex 'info threads' -ex detach >gdb.out 2>&1 </dev/null ||
        fail "gdb: $(tail -n 3 gdb.out | paste -sd '|')"
    cat gdb.out
    assert_no_grep internal-error gdb.out
    figure "while vCPU 1 stood: $(($(ticks after) - $(ticks before))) ticks of CPU 0, and" \
        "$(($(busy after) - $(busy before))) of 400 hundredths of a second on CPU 1"
    assert_between 'ticks of CPU 0' $(($(ticks after) - $(ticks before))) 3 30
    assert_equal 'time spent on CPU 1' "$(busy after)" "$(busy before)"
    # Both go on afterwards.
    local more=$(($(busy after) + 10))
    for _ in $(seq 100); do [ "$(busy "$KV_OUTPUT")" -lt "$more" ] || break; sleep 0.2; done
    assert_between 'time spent on CPU 1 in the end' "$(busy "$KV_OUTPUT")" "$more" 100000
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
    mv guest.core kallsyms "$SHARED/"
}

# The same file in drgn, without the kernel's debug information.
check_drgn() {
    [ -s "$SHARED/guest.core" ] || fail "no core file: see the test before"
    debugger python3 "$DEBUG/drgn_core.py" "$SHARED/guest.core" \
        "$(awk '$3 == "linux_banner" { print $1 }' "$SHARED/kallsyms")" >drgn.out 2>&1 ||
        fail "drgn: $(tail -n 1 drgn.out)"
    cat drgn.out
    assert_grep '^release 6\.' drgn.out
    assert_grep '^text Linux version 6' drgn.out
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
both_test modules check_modules
both_test catch check_catch
long_test non-stop check_non_stop
run_test core check_core
both_test drgn check_drgn
both_test symbols check_symbols
