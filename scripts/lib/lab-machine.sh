# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The emulated machines that are labs: QEMU's options for each architecture. machine_ARCH CPUS MEBIBYTES
# fills the array 'machine' and the kernel's arguments 'machine_append'. Needs common.sh.

# With memory above 4 GiB the firmware of a PC moves 64-bit PCI windows so high that QEMU 10.0 maps
# the SR-IOV functions of its network card at wrong addresses.
SRIOV_MEMORY_MAX=2816

# A lab has one CPU, if it is not told, because it runs on one of this machine's: with more of its own they
# wait for each other, and guests take half again as long.

# processors: the numbers of the processors that this process may use.
processors() { /usr/bin/python3 -ISc 'import os; print(*sorted(os.sched_getaffinity(0)))'; }

# SR-IOV network card behind a root port.
SRIOV_CARD=(
    -netdev "user,id=net0,restrict=on" -device "pcie-root-port,id=port1,chassis=1,slot=1"
    -device "igb,bus=port1,netdev=net0,mac=52:54:00:11:22:33"
)

# An AMD CPU with SVM and nested paging, an Intel IOMMU with interrupt remapping. Two such CPUs that run at
# once break one guest of 4 CPUs in ten: QEMU 10.0's flag for nested paging is then still set after a
# #VMEXIT (seen in its memory), and the host walks its page tables through the guest's.
machine_x86_64() {
    machine=(
        -machine q35 -accel "tcg,thread=multi" -cpu "max,la57=off" -smp "$1" -m "$2M"
        -device "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"
    )
    # no_timer_check: under load the emulated timer is late enough to fail the kernel's check.
    machine_append="console=ttyS0 intel_iommu=on iommu=pt no_timer_check"
    if [ "$2" -le "$SRIOV_MEMORY_MAX" ]; then
        machine+=("${SRIOV_CARD[@]}")
    else
        say "no SR-IOV network card with more than ${SRIOV_MEMORY_MAX}M of memory"
    fi
}

# EL2, GICv3 with ITS, SMMUv3. highmem-mmio=off keeps the functions' BARs below 4 GiB, for the reason above.
# Emulating pointer authentication as specified costs a third of the time: it is of another kind here.
machine_arm64() {
    machine=(
        -machine "virt,virtualization=on,gic-version=3,its=on,iommu=smmuv3,highmem-mmio=off"
        -accel "tcg,thread=multi" -cpu "max,pauth-impdef=on,sme=off" -smp "$1" -m "$2M" "${SRIOV_CARD[@]}"
    )
    # A kernel that boots with a device tree turns on the root port's access control too late to put the
    # card's functions into IOMMU groups of their own, unless it is told which port.
    machine_append="console=ttyAMA0 iommu.passthrough=1 pci=config_acs=0011101@pci:1b36:000c"
}
