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

# Two nodes, each with a CPU, memory, and memory that comes later.
# shellcheck disable=SC2016 # expanded in the guest
NODES='
modprobe virtio_mem 2>/dev/null
cd /sys/devices/system/node
size() { awk "/MemTotal/ { print int(\$4 / 1024) }" "node$1/meminfo"; }
until [ "$(size 0)" -ge 400 ] && [ "$(size 1)" -ge 400 ]; do sleep 0.3; done
echo "NODES $(size 0) $(size 1), CPUs $(cat node0/cpulist) $(cat node1/cpulist)"
echo "== complaints"; dmesg -r | sed -n "s/^<[0-4]>//p"
echo "== trouble"; dmesg | grep -E "BUG|WARNING|Call Trace|Oops"
echo "== end"
[ -d /sys/firmware/acpi ] || exit 9
exit 0'

check_two_nodes() {
    local node
    GUEST_KERNEL=$1
    guest "$NODES" "$ACPI_FLAG" --cpus 2 --memory 512M --numa cpus=0,memory=256M --numa cpus=1,memory=256M \
        --virtio-mem id=a,max=512M,size=256M,node=0 --virtio-mem id=b,max=512M,size=256M,node=1 \
        --append memhp_default_state=online_movable
    assert_status 0
    assert_grep '^NODES [0-9]+ [0-9]+, CPUs 0 1'
    for node in 2 3; do
        assert_between "MiB of node $((node - 2))" "$(awk '/^NODES/ { print int($'$node') }' "$KV_OUTPUT")" 400 512
    done
    assert_equal "a complaint of the kernel" "$(section complaints | grep -Ev "$QUIET" | head -n 1)" ""
    assert_equal "a failure in the kernel" "$(section trouble | head -n 1)" ""
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

for kernel in $GUEST_KERNELS; do
    for cpus in 1 2 4; do
        if [ "$kernel-$cpus" = 6.12-16k-2 ]; then
            run_test "$kernel-$cpus-cpus" check_acpi_boot "$kernel" "$cpus"
        else
            long_test "$kernel-$cpus-cpus" check_acpi_boot "$kernel" "$cpus"
        fi
    done
done
for kernel in 6.12 6.12-16k; do
    long_test "two-nodes-$kernel" check_two_nodes "$kernel"
done
run_test same-machine check_same
run_test reset-and-button check_acpi_power
