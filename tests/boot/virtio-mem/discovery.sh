# SPDX-License-Identifier: Apache-2.0
# The device as Linux finds it, and the memory map: nothing is there that is not plugged.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../memory-view.sh"

# shellcheck disable=SC2016 # expanded in the guest
FIND='
echo "== lspci"; lspci -n
echo "== features"; cat /sys/bus/virtio/drivers/virtio_mem/virtio*/features
echo "== driver"; dmesg | grep virtio_mem
echo "== before"; cat /proc/iomem
echo "== firmware"; for m in /sys/firmware/memmap/*; do [ ! -e $m/start ] || echo "$(cat $m/start)-$(cat $m/end) : $(cat $m/type)"; done
echo "== told"
until [ "$(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)" -ge 650 ]; do sleep 0.3; done
echo "== after"; cat /proc/iomem
echo "== end"
while :; do sleep 1; done'

# mib_inside SECTION PATTERN: MiB of the ranges of such a name that lie in the device's region.
mib_inside() {
    local from to sum=0
    while read -r from to; do
        from=$((16#$from)) to=$((16#$to + 1))
        [ "$to" -gt "$REGION" ] && [ "$from" -lt $((REGION + (1 << 30))) ] || continue
        [ "$from" -ge "$REGION" ] && [ "$to" -le $((REGION + (1 << 30))) ] || fail "$1: $2 goes beyond the region"
        sum=$((sum + to - from))
    done < <(section "$1" | grep -E -- "$2" | sed -E 's/^ *(0x)?([0-9a-f]+)-(0x)?([0-9a-f]+) .*/\2 \4/')
    echo $((sum >> 20))
}

check_discovery() { # check_discovery [FLAG]...
    local name
    start "$FIND" --virtio-mem id=vm0,max=1G "$@"
    wait_for '^== told'
    REGION=$(device memaddr)
    section lspci | grep -q ' 1af4:1058' || fail "lspci shows no 1af4:1058"
    # No node; unplugged memory is not touched; it outlives a suspend.
    section features | grep -q '^011' || fail "the features are $(section features)"
    for name in "start address: 0x$(printf %x "$REGION")" 'region size: 0x40000000' 'device block size: 0x200000'; do
        section driver | grep -q "$name" || fail "the driver does not tell '$name'"
    done
    assert_equal "the region's memory before it is plugged" "$(mib_inside before 'System RAM')" 0
    assert_equal "the region's memory in the firmware's map" "$(mib_inside firmware .)" 0
    ctl resize vm0 256M --wait --timeout 100s
    wait_for '^== end'
    assert_equal "the region's memory afterwards" "$(mib_inside after 'System RAM \(virtio_mem\)')" 256
    assert_equal "the region's part of the PCI windows" "$(mib_inside after 'PCI|pcie')" 0
    end
}

# What an ELF file's entry tells instead of a bzImage's, and EFI's tables instead of a device tree.
check_other_entry() {
    GUEST_KERNEL=$OTHER_ENTRY
    check_discovery ${ACPI_FLAG:+"$ACPI_FLAG"}
}

run_test discovery check_discovery
long_test discovery-other-entry check_other_entry
