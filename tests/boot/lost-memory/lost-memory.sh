# SPDX-License-Identifier: Apache-2.0
# The host loses a page of a guest's memory: who uses it hears of it, everybody else lives on.
# Pages that are lost stay so in this host until it is switched off.
. "$(dirname "$0")/../lib.sh"

MEMORY_MIB=256
# Two boots in one run.
KV_TIMEOUT=900s
# A whole line: the console gives it a byte at a time.
PAGE='^PAGE [1-9][0-9]* here'

# shellcheck disable=SC2016 # expanded in the guest
MEET='
/meet
echo "STATUS $?"
awk "/HardwareCorrupted/ { print \"CORRUPTED\", \$2 }" /proc/meminfo
dmesg | grep -E "Memory failure|Machine Check|Hardware Error" | head -n 20
echo ALIVE
sleep 100000'

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

# read_page ADDRESS: as another process of the host sees it.
read_page() {
    /usr/bin/python3 -ISc '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print(len(mmap.mmap(fd, 4096, offset=int(sys.argv[2]))[:]))' "$RAM_FILE" $(($1 - RAM))
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

# check_backing MEMORY: memory of every kind; a reset brings a page that works.
check_backing() {
    local page left=2000
    start_backed "$1" --cpus 2 ${ACPI_FLAG:+"$ACPI_FLAG"}
    wait_for "$PAGE" "$KV_OUTPUT" 400
    page=$(page_of_guest)
    lose_frame "$page"
    wait_for '^ALIVE' "$KV_OUTPUT" 400
    wait_for '^MET code=4 bits=12 page=same'
    assert_grep 'Memory failure: .*Recovered'
    "$KVMLET" ctl vm.sock reset
    until [ "$(grep -c "$PAGE" "$KV_OUTPUT")" = 2 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "the guest did not boot again"
        kill -0 "$KV_PID" || fail "kvmlet ended after the reset: $(tail -n 1 "$KV_ERRORS")"
        sleep 0.2
    done
    "$KVMLET" ctl vm.sock quit
    kv_wait
    assert_status 0
}

# Pages more than the guest has, for the one that is lost. The guest hears of the 4 KiB that its program
# meets; the program keeps the rest, which nobody could use.
check_hugetlb() {
    local MEET='/meet huge &
until dmesg | grep "Memory failure: .*Recovered"; do sleep 1; done
echo ALIVE
sleep 100000'
    [ -n "${LAB:-}" ] || skip "the host's pool of huge pages is not the test's"
    echo $((MEMORY_MIB / 2 + 8)) >/proc/sys/vm/nr_hugepages
    grep -q "^HugePages_Free: *$((MEMORY_MIB / 2 + 8))\$" /proc/meminfo ||
        skip "the host has no $((MEMORY_MIB / 2 + 8)) huge pages of 2 MiB"
    check_backing ,hugepages=2M
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

# The guest's kernel meets the error, in a system call of the program, which ends; others live on.
check_kernel() {
    local MEET='/meet kernel; echo "STATUS $?"; dmesg | grep "Internal error"; echo ALIVE; /meet; echo "STATUS $?"
        echo AGAIN; sleep 100000'
    start_guest --cpus 2 "$ACPI_FLAG"
    wait_for "$PAGE" "$KV_OUTPUT" 400
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
    wait_for '^AGAIN' "$KV_OUTPUT" 400
    assert_grep '^MET code=4 bits=12 page=same'
    "$KVMLET" ctl vm.sock quit
    kv_wait
    rm -f "$RAM_FILE"
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
    long_test lost-in-kernel check_kernel
    run_test lost-unacknowledged check_unacknowledged
    run_test lost-device-tree check_ends
else
    run_test lost-masked check_masked
fi
