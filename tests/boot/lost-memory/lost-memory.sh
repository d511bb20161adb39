# SPDX-License-Identifier: Apache-2.0
# The host loses a page of a guest's memory: who uses it hears of it, everybody else lives on.
# Pages that are lost stay so in this host until it is switched off.
. "$(dirname "$0")/../lib.sh"

MEMORY_MIB=256
# Two boots in one run.
KV_TIMEOUT=900s
# A whole line: the console gives it a byte at a time.
PAGE='^PAGE [1-9][0-9]* here'

# The program, and what the kernel says of it.
# shellcheck disable=SC2016 # expanded in the guest
REPORT='
/meet
echo "STATUS $?"
awk "/HardwareCorrupted/ { print \"CORRUPTED\", \$2 }" /proc/meminfo
dmesg | grep -E "Memory failure|Machine Check|Hardware Error" | head -n 20
echo ALIVE'
MEET="$REPORT
sleep 100000"
# Around a report: the guest boots again, finds on its disk that it did, and waits for the power button.
# shellcheck disable=SC2016 # expanded in the guest
FIRST='
if [ "$(head -c 4 /dev/vda)" = done ]; then
    modprobe evdev; modprobe button 2>/dev/null; echo AGAIN
    dd if=/dev/input/event0 bs=24 count=1 of=/dev/null 2>/dev/null
    echo PRESSED; poweroff -f; sleep 60
fi'
LAST='
printf done >/dev/vda; sync; reboot -f'

# Where RAM begins in the guest.
case $ARCH in
    arm64) RAM=$((0x40000000)) ;;
    *) RAM=0 ;;
esac

# start_backed MEMORY FLAG...: the guest that meets the error, in memory of that kind.
start_backed() {
    cp "$TEST_PROGRAMS/boot/meet" .
    guest_flags "$MEET"
    echo meet | cpio -o -H newc --quiet >>initrd.img
    with_append --memory "${MEMORY_MIB}M$1" --qmp unix:vm.sock --events events "${@:2}"
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
}

# start_guest FLAG...: the same in a file, which another process can map.
start_guest() {
    RAM_FILE=/dev/shm/kvmlet-ram.$$
    : >"$RAM_FILE"
    start_backed ",file=$RAM_FILE,shared" "$@"
}

# The page that the guest's program named last.
page_of_guest() { tr -d '\r' <"$KV_OUTPUT" | sed -n 's/^PAGE \([0-9]*\) here$/\1/p' | tail -n 1; }

# lose_page ADDRESS: the host loses it. Who asks for that has the page, and dies of it.
lose_page() {
    [ -n "$1" ] && [ $(($1 % 4096)) = 0 ] || fail "'$1' is no page's address"
    /usr/bin/python3 -ISc '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mmap.mmap(fd, 4096, offset=int(sys.argv[2])).madvise(mmap.MADV_HWPOISON)' \
        "$RAM_FILE" $(($1 - RAM)) 2>lose.err || true
    ! grep -Eq 'PermissionError|Errno 22|no attribute' lose.err ||
        skip "this host cannot lose pages: $(tail -n 1 lose.err)"
    ! grep -q Error lose.err || fail "$(tail -n 1 lose.err)"
}

# lose_frame ADDRESS: the host's administrator takes the frame of memory that nobody else can map.
lose_frame() {
    [ -w /sys/devices/system/memory/hard_offline_page ] || skip "this host cannot lose frames of memory"
    /usr/bin/python3 -ISc '
import os, sys
pid, offset, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for line in open(f"/proc/{pid}/maps"):
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    if end - start == size:
        break
else:
    sys.exit("no mapping is as large as the guest")
page = os.sysconf("SC_PAGE_SIZE")
with open(f"/proc/{pid}/pagemap", "rb") as map:
    map.seek((start + offset) // page * 8)
    frame = int.from_bytes(map.read(8), "little") & (1 << 55) - 1
if frame == 0:
    sys.exit("no frame is there")
with open("/sys/devices/system/memory/hard_offline_page", "w") as file:
    file.write(hex(frame * page))' "$KV_PID" $(($1 - RAM)) $((MEMORY_MIB << 20)) 2>lose.err ||
        fail "the frame is not lost: $(tail -n 1 lose.err)"
}

# read_frame ADDRESS: what the monitor has there now, in memory of any kind.
read_frame() {
    /usr/bin/python3 -ISc '
import sys
pid, offset, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for line in open(f"/proc/{pid}/maps"):
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    if end - start == size:
        break
else:
    sys.exit("no mapping is as large as the guest")
with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    memory.seek(start + offset)
    print(len(memory.read(4096)))' "$KV_PID" $(($1 - RAM)) $((MEMORY_MIB << 20))
}

# read_page ADDRESS: as another process of the host sees it.
read_page() {
    /usr/bin/python3 -ISc '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print(len(mmap.mmap(fd, 4096, offset=int(sys.argv[2]))[:]))' "$RAM_FILE" $(($1 - RAM))
}

# until_again: the guest boots a second time, in the same monitor.
until_again() {
    wait_for '^AGAIN' "$KV_OUTPUT" 400
    kill -0 "$KV_PID" || fail "kvmlet ended after the reset: $(tail -n 1 "$KV_ERRORS")"
}

# power_off: by the button, until somebody in the guest has heard it.
power_off() {
    local left=100
    while kill -0 "$KV_PID" 2>/dev/null && [ "$left" -gt 0 ]; do
        "$KVMLET" ctl vm.sock powerdown 2>/dev/null || true
        left=$((left - 1))
        sleep 2
    done
    kv_wait
    assert_status 0
    assert_grep '^PRESSED'
}

check_survives() {
    local page
    start_guest --cpus "$1" ${ACPI_FLAG:+"$ACPI_FLAG"}
    wait_for "$PAGE" "$KV_OUTPUT" 400
    page=$(page_of_guest)
    lose_page "$page"
    wait_for '^ALIVE' "$KV_OUTPUT" 400
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep '^STATUS 0'
    assert_grep '^CORRUPTED 4'
    assert_grep 'Memory failure: .*Recovered'
    assert_grep '"MEMORY_FAILURE"' events
    assert_grep '"action": ?"inject"' events
    # Again in the same monitor: the page is one that works.
    "$KVMLET" ctl vm.sock reset
    local left=2000
    until [ "$(grep -c "$PAGE" "$KV_OUTPUT")" = 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest did not boot again"
        kill -0 "$KV_PID" || fail "kvmlet ended after the reset: $(tail -n 1 "$KV_ERRORS")"
        sleep 0.2
    done
    assert_equal "the page after the reset" "$(read_page "$page")" 4096
    "$KVMLET" ctl vm.sock quit
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 0
}

# check_backing MEMORY [BITS]: memory of every kind; a reset brings a page that works.
check_backing() {
    local page MEET="$FIRST$REPORT$LAST"
    truncate -s 1M disk
    start_backed "$1" --cpus 2 --disk disk ${ACPI_FLAG:+"$ACPI_FLAG"}
    wait_for "$PAGE" "$KV_OUTPUT" 400
    page=$(page_of_guest)
    lose_frame "$page"
    ! read_frame "$page" 2>/dev/null || fail "the frame is not lost"
    wait_for '^ALIVE' "$KV_OUTPUT" 600
    assert_grep "^MET code=4 bits=${2:-12} page=same"
    assert_grep 'Memory failure: .*Recovered'
    assert_grep '"action": ?"inject"' events
    until_again
    assert_equal "the page after the reset" "$(read_frame "$page")" 4096
    power_off
}

# A huge page of the host is lost as a whole, and so is the guest's.
check_hugetlb() {
    # Pages more than the guest has, for the one that is lost.
    local pages=$((MEMORY_MIB / 2 + 8))
    local REPORT='
echo 1 >/proc/sys/vm/nr_hugepages
/meet huge &
until dmesg | grep "Memory failure: .*Recovered"; do sleep 1; done
echo ALIVE'
    [ -n "${LAB:-}" ] || skip "the host's pool of huge pages is not the test's"
    echo 3 >/proc/sys/vm/drop_caches
    echo 1 >/proc/sys/vm/compact_memory
    echo "$pages" >/proc/sys/vm/nr_hugepages
    grep -q "^HugePages_Free: *$pages\$" /proc/meminfo ||
        skip "the host has $(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo) huge pages of 2 MiB, not $pages"
    check_backing ,hugepages=2M 21
    assert_grep '"__org.kvmlet_size": ?2097152' events
}

# Nobody met the error: a scrubber found it, and the guest gives the page up.
check_found() {
    start_guest --cpus 2 "$ACPI_FLAG"
    wait_for "$PAGE" "$KV_OUTPUT" 400
    "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address="$(page_of_guest)" || fail "refused"
    wait_for '^ALIVE' "$KV_OUTPUT" 400
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep '^CORRUPTED 4'
    assert_grep '"action": ?"inject"' events
    "$KVMLET" ctl vm.sock quit
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 0
}

# A guest that was given tables and reads none never acknowledges a record: the second program's error
# cannot be told.
check_unacknowledged() {
    local MEET='/meet & sleep 3; /meet; sleep 100000'
    start_guest --cpus 2 "$ACPI_FLAG" --append acpi=off
    local left=400 first second
    until [ "$(grep -c "$PAGE" "$KV_OUTPUT")" = 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the programs did not start"
        sleep 0.2
    done
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

# On arm64 the program ends with it, and others live on. A guest that hears of events would have given the
# page up before its kernel meets it, or not: this one is deaf to them.
check_kernel_abort() {
    local MEET='echo ACPI0013:00 >/sys/bus/platform/drivers/acpi-ged/unbind && echo DEAF
        /meet kernel; echo "STATUS $?"; dmesg | grep "Internal error"; echo ALIVE; /meet; echo "STATUS $?"'
    start_guest --cpus 2 "$ACPI_FLAG"
    wait_for "$PAGE" "$KV_OUTPUT" 400
    assert_grep '^DEAF'
    lose_page "$(page_of_guest)"
    wait_for '^ALIVE' "$KV_OUTPUT" 400
    assert_grep 'Internal error: synchronous external abort'
    # Nothing of it is in the way of the next error.
    local left=400
    until [ "$(grep -c "$PAGE" "$KV_OUTPUT")" = 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the program did not start again"
        sleep 0.2
    done
    lose_page "$(page_of_guest)"
    kv_wait
    rm -f "$RAM_FILE"
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep '^STATUS 0'
    assert_status 0
}

# Nothing in a device tree could name the page.
check_ends() {
    start_guest
    wait_for "$PAGE" "$KV_OUTPUT" 400
    lose_page "$(page_of_guest)"
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 84
    assert_json reason memory-error
    assert_grep 'has lost the page at guest address' "$KV_ERRORS"
}

# A kernel that has machine checks switched off.
check_masked() {
    start_guest --append mce=off
    wait_for "$PAGE" "$KV_OUTPUT" 400
    lose_page "$(page_of_guest)"
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 84
    assert_json reason memory-error
}

check_injected() {
    start_guest
    wait_for "$PAGE" "$KV_OUTPUT" 400
    ! "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address=1T 2>refused || fail "taken outside RAM"
    assert_grep 'no memory at 0x10000000000' refused
    ! "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address="$RAM" vcpu=9 2>refused || fail "taken by nobody"
    assert_grep 'there is no vCPU 9' refused
    if [ "$ARCH" = arm64 ]; then
        ! "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address="$RAM" 2>refused || fail "told"
        assert_grep 'cannot hear' refused
    else
        "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address="$(page_of_guest)" || fail "refused"
        wait_for '"action": ?"inject"' events
    fi
    "$KVMLET" ctl vm.sock quit
    kv_wait
    rm -f "$RAM_FILE"
    assert_status 0
}

run_test lost-injected check_injected
long_test lost-one-cpu check_survives 1
run_test lost-two-cpus check_survives 2
long_test lost-anonymous check_backing ''
long_test lost-memfd check_backing ,shared
long_test lost-hugetlb check_hugetlb
if [ "$ARCH" = arm64 ]; then
    run_test lost-found check_found
    long_test lost-in-kernel check_kernel_abort
    run_test lost-unacknowledged check_unacknowledged
    run_test lost-device-tree check_ends
else
    run_test lost-in-kernel check_kernel
    run_test lost-masked check_masked
fi
