# SPDX-License-Identifier: Apache-2.0
# The host loses a page of a guest's memory, and the guest cannot take it as a program's: the outcome is the
# documented one, vmm/memory/README.md.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lost-view.sh"

# A guest that was given tables and reads none never acknowledges a record: the second program's error
# cannot be told.
check_unacknowledged() {
    local MEET='/meet & sleep 3; /meet; sleep 100000'
    start_guest --cpus 2 "$ACPI_FLAG" --append acpi=off
    local first second
    until_pages 2
    { read -r first && read -r second; } < <(tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^PAGE \([0-9]*\) here$/\1/p')
    lose_page "$first"
    wait_for '^MET code=3' "$KV_OUTPUT" 400
    lose_page "$second"
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 84
    assert_json reason memory-error
    assert_grep 'does not finish with an earlier error' "$KV_ERRORS"
}

# The guest's kernel meets the error, in a system call of the program. On x86_64 the call fails, and the
# program meets the error itself.
check_kernel() {
    local MEET='/meet kernel; echo "STATUS $?"; dmesg | grep "Memory failure"; echo ALIVE'
    start_guest --cpus 2
    wait_for "$PAGE" "$KV_OUTPUT" 400
    lose_page "$(page_of_guest)"
    kv_wait
    rm -f "$RAM_FILE"
    assert_grep '^REFUSED with 14'
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep 'Memory failure: .*Recovered'
    assert_grep '^ALIVE'
    assert_status 0
}

# On arm64 the kernel ends who made the call, and others live on: a program that has the same page then meets it
# and is told of it. A guest that hears of events would have given the page up before its kernel meets it, or not:
# this one is deaf to them.
check_kernel_abort() {
    local MEET='echo ACPI0013:00 >/sys/bus/platform/drivers/acpi-ged/unbind && echo DEAF
        /meet name; echo "STATUS $?"; dmesg | grep -E "Internal error|Memory failure"; echo ALIVE'
    start_guest --cpus 2 "$ACPI_FLAG"
    wait_for "$PAGE" "$KV_OUTPUT" 200
    assert_grep '^DEAF'
    lose_page "$(page_of_guest)"
    wait_for '^ALIVE' "$KV_OUTPUT" 100
    kv_wait
    rm -f "$RAM_FILE"
    assert_grep 'Internal error: synchronous external abort'
    assert_grep '^CHILD 11'
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep '^STATUS 0'
    assert_grep 'Memory failure: .*Recovered'
    assert_status 0
}

# ends_by_lost_page [FLAG]...: the guest cannot be told of the page.
ends_by_lost_page() {
    start_guest "$@"
    wait_for "$PAGE" "$KV_OUTPUT" 400
    lose_page "$(page_of_guest)"
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 84
    assert_json reason memory-error
}

# Nothing in a device tree could name the page.
check_ends() {
    ends_by_lost_page
    assert_grep 'has lost the page at guest address' "$KV_ERRORS"
}

# A kernel that has machine checks switched off.
check_masked() { ends_by_lost_page --append mce=off; }

if [ "$ARCH" = arm64 ]; then
    long_test lost-in-kernel check_kernel_abort
    run_test lost-unacknowledged check_unacknowledged
    run_test lost-device-tree check_ends
else
    run_test lost-in-kernel check_kernel
    run_test lost-masked check_masked
fi
