# SPDX-License-Identifier: Apache-2.0
# A Debian kernel with its own vmlinux, and KASLR: what kernel developers do with gdb, on a running guest
# and on a core file, in gdb, drgn and crash. The symbols are large: guest-images/build fetches them
# when it is asked to.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../gdb.sh"

KV_TIMEOUT=${KV_TIMEOUT_DEBUG:-1500s}
GUEST_KERNEL=6.1-cloud
SYMBOLS=$GUEST_DIR/symbols-$GUEST_KERNEL
# An emulated machine reads symbols slowly.
GDB_FILE=$SYMBOLS/vmlinux GDB_LIMIT=900
# The first of the tests of core files leaves one there for the others.
SHARED=$(mktemp -d /tmp/kvmlet-vmlinux.XXXXXX)
trap 'rm -rf "$SHARED"' EXIT

needs_symbols() {
    [ -s "$SYMBOLS/vmlinux" ] || skip "no symbols: run guest-images/build --arch $ARCH --symbols $GUEST_KERNEL"
}

# assert_frames FUNCTION... <FILE: gdb's backtrace has these, the innermost first, with others between them.
assert_frames() {
    local frames wanted
    frames=$(sed -n 's/^#[0-9]* .* in \([A-Za-z0-9_.]*\) (.*/\1/p; s/^#[0-9]*  *\([A-Za-z0-9_.]*\) (.*/\1/p' | xargs)
    wanted=$(printf '%s ([^ ]+ )*' "$@")
    grep -Eq "(^| )$wanted" <<<"$frames " || fail "the frames are '$frames', not '$*'"
}

# part MARK: what gdb said between "== MARK" and the next mark.
part() { section "$1" gdb.out; }

# How many vCPUs `info threads` lists.
listed_threads() { grep -c '^[* ] *[0-9]* *Thread .*"vCPU [0-3]"'; }

# From the first instruction on. The task that runs losetup stays on its processor, so that gdb's `finish`
# finds it there.
check_vmlinux() {
    needs_symbols
    trap end_guest EXIT
    truncate -s 64K disk
    # shellcheck disable=SC2016 # expanded in the guest
    guest_start 'modprobe loop max_loop=1
        (while :; do taskset 1 losetup /dev/loop0; done >/dev/null 2>&1) &
        echo "== ready"
        until [ "$(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 2)" = go ]; do sleep 0.5; done
        echo WENT; poweroff -f; sleep 60' \
        --append "$DEBUG_APPEND" --cpus 4 --gdb unix:gdb.sock,wait --disk disk --symbols "$SYMBOLS/vmlinux"
    wait_for_socket
    run_gdb 'echo == entry\n' 'p/x $pc' 'info threads' "${DEBUG_EARLY[@]}" delete \
        'hbreak start_kernel' continue 'echo == start\n' bt delete \
        "source $KVMLET_ROOT/vmm/debug/modules.py" \
        'break do_init_module if $_streq(mod->name, "loop")' continue 'echo == module\n' bt 'p mod->name' delete \
        'watch -l mod->state' "modules $SYMBOLS" 'break loop_init' continue 'echo == init\n' bt \
        'delete $bpnum' continue 'echo == watch\n' 'info threads' delete \
        'break lo_ioctl' continue 'echo == ioctl\n' bt delete 'echo == finish\n' finish 'echo == end\n' 'monitor kaslr' detach
    assert_equal 'vCPUs at the start' "$(part entry | listed_threads)" 4
    part start | assert_frames start_kernel
    part module | assert_frames do_init_module __do_sys_finit_module "$DEBUG_CALL"
    assert_grep '^\$[0-9]* = "loop", ' gdb.out
    part init | assert_frames loop_init do_one_initcall do_init_module __do_sys_finit_module
    assert_grep '^Old value = MODULE_STATE_COMING' gdb.out
    assert_grep '^New value = MODULE_STATE_LIVE' gdb.out
    assert_equal 'vCPUs in the end' "$(part watch | listed_threads)" 4
    part ioctl | assert_frames lo_ioctl blkdev_ioctl "$DEBUG_CALL"
    part finish | grep -Eq '^(0x[0-9a-f]* in )?blkdev_ioctl \(' || fail "finish ended in $(part finish | tail -n 1)"
    assert_grep '^the kernel is at the addresses of .* plus 0x[0-9a-f]*[1-9a-f][0-9a-f]* ' gdb.out
    wait_for '== ready'
    # Without its file gdb is there at once.
    GDB_FILE=-quiet
    gdb_start
    gdb_stop
    printf 'go' | dd of=disk conv=notrunc 2>/dev/null
    kv_wait
    assert_status 0
    assert_grep '^WENT'
}

# The last of who called panic, and the first: between them it depends on the driver that tells kvmlet.
PANIC="panic sysrq_handle_crash __handle_sysrq write_sysrq_trigger vfs_write ksys_write"

check_vmlinux_core() {
    needs_symbols
    guest 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60' \
        --append "$DEBUG_APPEND" --cpus 2 --memory 256M --on-hang dump=guest.core
    assert_status 80
    local offset
    offset=$(strings guest.core | sed -n '/^KERNELOFFSET=/{s///p;q}')
    [ "${offset:-0}" != 0 ] || fail "the kernel is where it was linked to: '$offset'"
    timeout "$GDB_LIMIT" gdb -nx -batch -ex 'set pagination off' -ex 'core-file guest.core' \
        -ex "symbol-file -o 0x$offset $SYMBOLS/vmlinux" -ex "source $KVMLET_ROOT/vmm/debug/modules.py" \
        -ex "modules $SYMBOLS" -ex 'thread apply all bt' >gdb.out 2>&1 </dev/null || fail "gdb: $(tail -n 1 gdb.out)"
    cat gdb.out
    # shellcheck disable=SC2086 # one word a function
    assert_frames $PANIC <gdb.out
    mv guest.core "$SHARED/"
}

needs_core() {
    needs_symbols
    [ -s "$SHARED/guest.core" ] || fail "no core file: see the test before"
}

# unwinds PROGRAM: it reads the stacks of this architecture's kernels.
unwinds() { [[ " $DEBUG_UNWINDERS " = *" $1 "* ]]; }

# drgn: of each vCPU the task and the stack.
check_vmlinux_drgn() {
    needs_core
    debugger python3 "$KVMLET_ROOT/vmm/core/vcpus.py" "$SHARED/guest.core" "$SYMBOLS"/vmlinux "$SYMBOLS"/*.ko >drgn.out 2>&1 ||
        fail "drgn: $(tail -n 1 drgn.out)"
    cat drgn.out
    assert_grep '^vcpu [01]: sh, pid [1-9]' drgn.out
    unwinds drgn || return 0
    # shellcheck disable=SC2086
    sed -n 's/^  \([0-9a-f]*\) \(.*\)/#0 \1 in \2 ()/p' drgn.out | assert_frames $PANIC
}

check_vmlinux_crash() {
    needs_core
    printf '%s\n' bt 'log | tail -n 200' quit >commands
    debugger crash -s -i commands "$SYMBOLS/vmlinux" "$SHARED/guest.core" >crash.out 2>&1 ||
        fail "crash: $(tail -n 1 crash.out)"
    cat crash.out
    assert_grep 'COMMAND: "sh"' crash.out
    assert_grep 'Kernel panic - not syncing: sysrq triggered crash' crash.out
    unwinds crash || return 0
    # shellcheck disable=SC2086
    sed -n 's/^ *\(#[0-9]*\) \[\([0-9a-f]*\)\] \([a-z0-9_.]*\) at .*/\1 \2 in \3 ()/p' crash.out |
        sed 's/\.cold / /' | assert_frames $PANIC
}

command -v gdb >/dev/null || { report SKIP all "gdb is not installed" && exit 0; }
long_test vmlinux check_vmlinux
long_test vmlinux-core check_vmlinux_core
long_test vmlinux-drgn check_vmlinux_drgn
long_test vmlinux-crash check_vmlinux_crash
