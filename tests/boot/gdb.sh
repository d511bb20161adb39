# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# gdb and a guest with --gdb unix:gdb.sock: sourced after lib.sh by the tests that debug one.

# The file that gdb has the symbols of, and how many seconds it may take.
GDB_FILE=syms.elf GDB_LIMIT=300
# The emulated machine may take longer for an answer than the 2 s that gdb waits.
GDB_SETTINGS=(-ex 'set confirm off' -ex 'set pagination off' -ex 'set remotetimeout 60')

# run_gdb COMMAND...: its output is in the file gdb.out.
run_gdb() {
    local arguments=() command
    for command; do arguments+=(-ex "$command"); done
    local status=0
    timeout "$GDB_LIMIT" gdb -nx -batch "${GDB_SETTINGS[@]}" "$GDB_FILE" \
        -ex 'target remote gdb.sock' "${arguments[@]}" >gdb.out 2>&1 </dev/null || status=$?
    cat gdb.out
    [ "$status" = 0 ] || fail "gdb ended with status $status: $(tail -n 8 gdb.out | paste -sd '|')"
}

# gdb stays connected while the guest runs: gdb_start COMMAND... ends with the guest running.
gdb_start() {
    local arguments=() command
    for command; do arguments+=(-ex "$command"); done
    gdb -nx -batch "${GDB_SETTINGS[@]}" "$GDB_FILE" -ex 'target remote gdb.sock' "${arguments[@]}" \
        -ex 'echo running\n' -ex continue -ex 'echo stopped\n' -ex delete -ex detach >gdb.out 2>&1 </dev/null &
    GDB_PID=$!
    wait_for '^running' gdb.out "$GDB_LIMIT"
}
# Ctrl-C, and it detaches.
gdb_stop() {
    kill -INT "$GDB_PID"
    wait "$GDB_PID" || fail "gdb ended with status $?: $(tail -n 1 gdb.out)"
    cat gdb.out
    assert_grep '^stopped' gdb.out
    assert_grep 'detached' gdb.out
}

# A failed test must not leave a busy guest to the next one.
end_guest() { [ -z "${KV_PID:-}" ] || kill "$KV_PID" 2>/dev/null || true; }

# Until the debugger can connect to a guest that waits for it.
wait_for_socket() { until [ -S gdb.sock ] || ! kill -0 "$KV_PID"; do sleep 0.1; done; }

# debugger python3|crash ARGUMENT...: python3 has drgn; those of guest-images/build --symbols, with the libraries
# beside them, or installed ones.
debugger() {
    local program=$1 root=$KVMLET_BUILD/debuggers/$ARCH loader
    shift
    loader=$(find "$root"/usr/lib/*/ -maxdepth 1 -name 'ld-linux-*' 2>/dev/null | head -n 1) || true
    if [ -n "$loader" ]; then
        PYTHONHOME=$root/usr PYTHONPATH=$root/usr/lib/python3/dist-packages \
            timeout "$GDB_LIMIT" "$loader" --library-path "${loader%/*}" "$root/usr/bin/$program" "$@"
    elif [ "$program" = python3 ] && ! /usr/bin/python3 -c 'import drgn' 2>/dev/null; then
        skip "no drgn: install python3-drgn, or run guest-images/build --symbols 6.1-cloud"
    elif ! command -v "$program" >/dev/null; then
        skip "no $program: install it, or run guest-images/build --symbols 6.1-cloud"
    else
        PATH=/usr/bin:$PATH timeout "$GDB_LIMIT" "$program" "$@"
    fi
}
