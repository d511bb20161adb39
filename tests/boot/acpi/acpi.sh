# SPDX-License-Identifier: Apache-2.0
# An arm64 machine that ACPI describes, without firmware: Debian's kernels see the same machine as by
# the device tree, without a complaint, with nodes, a power button, resets and memory that comes later.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../linux-view.sh"

check_acpi_boot() {
    local pattern
    # The device tree's driver has another name for the host bridge.
    # shellcheck disable=SC2034 # for linux-view.sh
    IOMEM='PCI Bus 0000:00
PCI ECAM'
    check_boot "$1" "$2" 256 "$ACPI_FLAG"
    for pattern in 'efi: EFI v2\.70? by kvmlet' 'ACPI: RSDP 0x' 'psci: probing for conduit method from ACPI' \
        'ACPI: Interpreter enabled' 'ACPI: PCI Root Bridge \[PCI0\]' 'ARMH0011:00: ttyAMA0'; do
        section kernel | grep -Eq "$pattern" || fail "dmesg has no line '$pattern'"
    done
    assert_equal "errors of ACPI" "$(section kernel | grep -E 'ACPI.*([Ee]rror|BIOS|Warning)' | head -n 1)" ""
}

# shellcheck disable=SC2016 # expanded in the guest
SAME='
echo "== machine"
for id in /sys/devices/system/cpu/cpu[0-9]*/topology/*_siblings_list; do echo "$id $(cat $id)"; done
for key in $(seq 0 3); do cat /sys/devices/system/node/node$key/cpulist 2>/dev/null; done
for device in /sys/bus/pci/devices/*; do echo "$(cat $device/class) $(cut -d " " -f 3 $device/resource | head -n 6 | tr "\n" " ")"; done
echo "== end"'

# What the guest makes of sockets, threads, nodes and PCI devices.
check_same() {
    local shape=(--cpus 4,sockets=2,cores=1,threads=2 --memory 512M
        --numa cpus=0-1,memory=256M --numa cpus=2-3,memory=256M)
    guest "$SAME" "${shape[@]}"
    assert_status 0
    section machine >by-tree
    guest "[ -d /sys/firmware/acpi ] || exit 9$SAME" "${shape[@]}" "$ACPI_FLAG"
    assert_status 0
    section machine >by-acpi
    # Eight of the CPUs, two of the nodes, three of the devices.
    assert_equal "lines of the guest" "$(wc -l <by-acpi)" 13
    diff by-tree by-acpi || fail "the two differ: $(diff by-tree by-acpi | head -n 4 | paste -sd '|')"
}

# A reset, then the power button.
# shellcheck disable=SC2016 # expanded in the guest
check_acpi_power() {
    truncate -s 1M disk
    guest_start '[ -d /sys/firmware/acpi ] || exit 9
                 if [ "$(head -c 4 /dev/vda)" = done ]; then
                     modprobe evdev; modprobe button 2>/dev/null; sleep 1; echo READY
                     dd if=/dev/input/event0 bs=24 count=1 of=/dev/null 2>/dev/null
                     echo PRESSED; poweroff -f; sleep 60
                 fi
                 printf done >/dev/vda; sync; reboot -f' --disk disk --qmp unix:vm.sock "$ACPI_FLAG"
    wait_for READY
    "$KVMLET" ctl vm.sock powerdown
    kv_wait
    assert_grep PRESSED
    assert_status 0
}

long_test 6.12-1-cpu check_acpi_boot 6.12 1
run_test 6.12-16k-2-cpus check_acpi_boot 6.12-16k 2
long_test 6.1-cloud-4-cpus check_acpi_boot 6.1-cloud 4
run_test same-machine check_same
run_test reset-and-button check_acpi_power
