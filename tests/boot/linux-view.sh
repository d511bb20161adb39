# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The guest's own view of its machine, asserted. Sourced after lib.sh.

# Runs in the guest. Reads and writes the disk between the two looks at the interrupts.
# shellcheck disable=SC2016 # expanded in the guest
VIEW='
section() { echo "== $1"; }
section release; uname -r
section cpus; nproc
section memory; sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo
section lspci; lspci -n
section drivers; for d in /sys/bus/virtio/devices/*; do basename "$(readlink "$d/driver")"; done
section iomem; cat /proc/iomem
section before; cat /proc/interrupts
dd if=/dev/vda of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null || echo "cannot read the disk"
dd if=/dev/hwrng of=/dev/null bs=64 count=4 2>/dev/null || echo "cannot read random numbers"
section after; cat /proc/interrupts
section pages; sed -n "s/^KernelPageSize: *//p" /proc/self/smaps | head -n 1
section kernel; dmesg
section complaints; dmesg -r | sed -n "s/^<[0-4]>//p"
section trouble; dmesg | grep -E "BUG|WARNING|Call Trace|Oops"
exit 0
'

# interrupt_sum SECTION PATTERN: how often the matching MSI-X vectors fired.
interrupt_sum() {
    section "$1" | awk -v want="$2" -v kind="$DEVICE_INTERRUPT" '
        $0 ~ want && $0 ~ kind { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i }
        END { print sum + 0 }'
}

# check_boot KERNEL CPUS MEBIBYTES [FLAG]...
check_boot() {
    local cpus=$2 mebibytes=$3 kilobytes
    export GUEST_KERNEL=$1
    truncate -s 64M disk.img
    guest "$VIEW" --cpus "$cpus" --memory "${mebibytes}M" --disk disk.img "${@:4}"
    assert_status 0
    assert_json door verdict-port
    case $1 in
        6.1-cloud) section release | grep -q '^6\.1\..*cloud' || fail "release is $(section release)" ;;
        6.12-16k)
            section release | grep -q '^6\.12\..*16k' || fail "release is $(section release)"
            assert_equal "the size of a page" "$(section pages)" "16 kB"
            ;;
        *) section release | grep -q '^6\.12\.' || fail "release is $(section release)" ;;
    esac
    assert_equal "the number of CPUs" "$(section cpus)" "$cpus"
    kilobytes=$(section memory)
    # The kernel keeps its own image, its page structures and the initrd's pages for itself.
    assert_between "MemTotal" "$kilobytes" $((mebibytes * 1024 * 94 / 100 - 96 * 1024)) $((mebibytes * 1024))
    check_pci
    check_memory_map "$mebibytes"
    check_interrupts
    check_machine "$cpus"
    assert_equal "a complaint of the kernel" "$(section complaints | grep -Ev "$QUIET" | head -n 1)" ""
    assert_equal "a failure in the kernel" "$(section trouble | head -n 1)" ""
}

# A host bridge, and the three devices that were asked for or are always there, with their drivers.
check_pci() {
    local id
    for id in 1042 1043 1044; do # block, console, random numbers
        section lspci | grep -q " 1af4:$id" || fail "lspci shows no 1af4:$id"
    done
    for id in virtio_blk virtio_console virtio_rng; do
        section drivers | grep -qx "$id" || fail "the driver $id is not bound to a device"
    done
}

check_memory_map() { # check_memory_map MEBIBYTES
    section iomem | grep -q 'System RAM' || fail "/proc/iomem shows no System RAM"
    local pattern
    while read -r pattern; do
        section iomem | grep -Eq "$pattern" || fail "/proc/iomem shows no $pattern"
    done <<<"$IOMEM"
    section iomem | grep -q '0000:00:0' || fail "/proc/iomem shows no PCI device"
    if [ "$1" -gt 4096 ]; then
        section iomem | grep -Eq "$HIGH_MEMORY" || fail "/proc/iomem shows no memory above 4 GiB"
    fi
}

check_interrupts() {
    local before after
    assert_no_grep 'cannot read'
    before=$(interrupt_sum before 'virtio.*-req')
    after=$(interrupt_sum after 'virtio.*-req')
    [ "$after" -gt "$before" ] || fail "the disk's MSI-X vectors did not fire: $before, then $after"
    before=$(interrupt_sum before 'virtio.*-input')
    after=$(interrupt_sum after 'virtio.*-input')
    [ "$after" -ge "$before" ] || fail "interrupt counters went back: $before, then $after"
}
