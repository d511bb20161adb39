# SPDX-License-Identifier: Apache-2.0
# The host loses a page of a guest's memory: who uses it hears of it, everybody else lives on.
# Pages that are lost stay so in this host until it is switched off.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lost-view.sh"

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

# in_frame PROGRAM ADDRESS: a program that knows the monitor's process "pid", and "at" which of its addresses it
# has the guest's, in memory of any kind.
in_frame() {
    /usr/bin/python3 -ISc '
import os, sys
pid, offset, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for line in open(f"/proc/{pid}/maps"):
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    if end - start == size:
        break
else:
    sys.exit("no mapping is as large as the guest")
at = start + offset'"$1" "$KV_PID" $(($2 - RAM)) $((MEMORY_MIB << 20))
}

# lose_frame ADDRESS: the host's administrator takes the frame of memory that nobody else can map.
lose_frame() {
    [ -w /sys/devices/system/memory/hard_offline_page ] || skip "this host cannot lose frames of memory"
    in_frame '
page = os.sysconf("SC_PAGE_SIZE")
with open(f"/proc/{pid}/pagemap", "rb") as map:
    map.seek(at // page * 8)
    frame = int.from_bytes(map.read(8), "little") & (1 << 55) - 1
if frame == 0:
    sys.exit("no frame is there")
with open("/sys/devices/system/memory/hard_offline_page", "w") as file:
    file.write(hex(frame * page))
# At once: the guest may boot again before another program starts.
try:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(at)
        memory.read(4096)
    sys.exit("it can be read")
except OSError:
    pass' "$1" 2>lose.err || fail "the frame is not lost: $(tail -n 1 lose.err)"
}

# read_frame ADDRESS: what the monitor has there now.
read_frame() {
    in_frame '
with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    memory.seek(at)
    print(len(memory.read(4096)))' "$1"
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
    until_pages 2
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
    # The program and the guest's shell speak at the same time.
    wait_for '^ALIVE' "$KV_OUTPUT" 600
    wait_for "^MET code=4 bits=${2:-12} page=same" "$KV_OUTPUT" 400
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
    # shellcheck disable=SC2016 # expanded in the guest
    local REPORT='
echo 1 >/proc/sys/vm/nr_hugepages
/meet huge | tee /said &
until dmesg | grep "Memory failure: .*Recovered"; do sleep 1; done'
    # A guest of AMD's looks for errors that nobody met every five minutes.
    # shellcheck disable=SC2016
    [ "$ARCH" != arm64 ] || REPORT="$REPORT"'
page=$(sed -n "s/^PAGE \([0-9]*\) here/\1/p" /said)
until dmesg | grep -i "Memory failure: 0x$(printf %x $((page / 4096 + 511))):"; do sleep 1; done'
    REPORT="$REPORT
echo ALIVE"
    [ -n "${LAB:-}" ] || skip "the host's pool of huge pages is not the test's"
    echo 3 >/proc/sys/vm/drop_caches
    echo 1 >/proc/sys/vm/compact_memory
    echo "$pages" >/proc/sys/vm/nr_hugepages
    grep -q "^HugePages_Free: *$pages\$" /proc/meminfo ||
        skip "the host has $(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo) huge pages of 2 MiB, not $pages"
    check_backing ,hugepages=2M 21
    # Found as a whole, or met at its first page and the rest found.
    assert_grep '"__org.kvmlet_size": ?(2097152|2093056)' events
    assert_no_grep 'cannot be told' "$KV_ERRORS"
}

# A program's page in memory that virtio-mem plugged. The second boot gives all of it back, the host loses pages
# that lie there unused, and the guest finds good ones when it has its memory again, all of which it fills.
check_virtio_mem() {
    local page base told RAM RAM_FILE=$PWD/plugged
    # shellcheck disable=SC2016 # expanded in the guest
    local HAS='
modprobe virtio_mem 2>/dev/null
has() { until [ "$(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)" "$@" ]; do sleep 0.3; done; }'
    local AGAIN='
    has -ge 380; echo AGAIN; has -lt 330; echo EMPTY; has -ge 380
    mkdir -p /full; mount -t tmpfs -o size=290M tmpfs /full
    dd if=/dev/zero of=/full/file bs=1M count=280 2>/dev/null; echo "FILLED $?"'
    local MEET="$HAS${FIRST/echo AGAIN/$AGAIN}
has -ge 380$REPORT$LAST"
    : >"$RAM_FILE"
    truncate -s 1M disk
    start_backed '' --cpus 2 --disk disk ${ACPI_FLAG:+"$ACPI_FLAG"} --append memhp_default_state=online_movable \
        --virtio-mem "id=vm0,max=256M,size=256M,file=$RAM_FILE"
    wait_for "$PAGE" "$KV_OUTPUT" 400
    page=$(page_of_guest)
    base=$("$KVMLET" ctl vm.sock --json qmp query-memory-devices | json_get 0.data.memaddr /dev/stdin)
    RAM=$base
    assert_between "the program's page" "$page" "$base" $((base + (256 << 20) - 1))
    lose_page "$page"
    wait_for '^ALIVE' "$KV_OUTPUT" 400
    assert_grep '^MET code=4 bits=12 page=same'
    assert_grep '^CORRUPTED 4'
    assert_grep 'Memory failure: .*Recovered'
    until_again
    assert_equal "the page after the reset" "$(read_page "$page")" 4096
    "$KVMLET" ctl vm.sock resize vm0 0 --wait --timeout 200s
    wait_for '^EMPTY' "$KV_OUTPUT" 400
    ! "$KVMLET" ctl vm.sock __org.kvmlet_inject-memory-error address="$base" 2>refused || fail "told of no memory"
    assert_grep 'no memory at' refused
    told=$(grep -c MEMORY_FAILURE events)
    for page in 0 32 64 96 128 160 192 224; do
        lose_page $((base + (page << 20)))
        ! read_page $((base + (page << 20))) 2>/dev/null || fail "the page at $page MiB is not lost"
    done
    "$KVMLET" ctl vm.sock resize vm0 256M --wait --timeout 200s
    wait_for '^FILLED 0' "$KV_OUTPUT" 400
    for page in 0 32 64 96 128 160 192 224; do
        assert_equal "the page at $page MiB" "$(read_page $((base + (page << 20))))" 4096
    done
    assert_equal "the errors that the guest was told of" "$(grep -c MEMORY_FAILURE events)" "$told"
    power_off
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

both_test lost-injected check_injected
long_test lost-one-cpu check_survives 1
run_test lost-two-cpus check_survives 2
long_test lost-anonymous check_backing ''
long_test lost-memfd check_backing ,shared
long_test lost-hugetlb check_hugetlb
long_test lost-virtio-mem check_virtio_mem
if [ "$ARCH" = arm64 ]; then
    run_test lost-found check_found
fi
