# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What is different about arm64 guests. Sourced by lib.sh; arch-x86_64.sh says what each is.

# How often a test may fail in the lab before it has failed.
LAB_TRIES=1
LAB_NEVER=
# Pages of 4 KiB, of 16 KiB, and all of virtio as modules.
GUEST_KERNELS="6.12 6.12-16k 6.1-cloud"
# By ACPI, see below.
OTHER_ENTRY=6.12
POWEROFF_DOOR=psci
# The exit that it is, for `monitor catch`, and how that is told.
POWEROFF_CATCH=system_event
POWEROFF_CAUGHT='system_event of type 1'
RESET_DOOR=psci
# Debian's arm64 kernels have no driver for pvpanic.
PANIC_DOOR=console
KEXEC=no
# Without it the device tree describes the machine.
ACPI_FLAG=--acpi
PAGE_COUNTS=no
# RAM begins at 1 GiB and is one piece.
HIGH_MEMORY='^40000000-[1-9a-f][0-9a-f]{8} .*System RAM'
PC_REGISTER='PC ='
KERNEL_PC='PC =ffff'
# The device tree knows where it is.
# shellcheck disable=SC2016 # expanded in the guest
WRITE_EXIT_DEVICE='devmem 0x$(od -A n -t x1 -N 8 /proc/device-tree/exit@*/reg | tr -d " ") 32 9'

# A device tree without caches, and an emulated host that is slow, say nothing against the machine either.
QUIET='hugepages: |randomness|device-mapper: core: CONFIG_IMA|integrity: '
QUIET="$QUIET|cacheinfo: Unable to detect cache hierarchy|hrtimer: interrupt took|sched: DL replenish lagged"

IOMEM='pcie
PCI ECAM'
# As Linux 6.12 and 6.1 call them.
DEVICE_INTERRUPT='ITS-(PCI-MSIX|MSI)'

# The debugger: where nokaslr puts the kernel, the entries of system calls and interrupts.
DEBUG_TEXT=ffff800080000000
DEBUG_ENTRIES="el0t_64_sync el1h_64_irq el0t_64_irq vectors"
# KVM lets no guest step while breakpoints of the host are armed.
DEBUG_NEVER=breakpoint=no
DEBUG_ANCHOR='VBAR_EL1 is .*vectors'
DEBUG_METHOD='frame pointers'
DEBUG_TABLES=
# shellcheck disable=SC2016 # for gdb
DEBUG_ARGUMENT='$x0'
# The last instruction of __primary_switch, "br x8", leads to where the kernel is mapped.
# shellcheck disable=SC2016
DEBUG_EARLY=(
    'find /w $pc - (unsigned long)&_text + (unsigned long)&__primary_switch, +256, 0xd61f0100'
    'hbreak *$_' continue
    'eval "symbol-file -o %#lx '"$GUEST_DIR"'/symbols-6.1-cloud/vmlinux", $x8 - (unsigned long)&__primary_switched'
)
DEBUG_CALL=el0_svc
# gdb before 14 cannot take signatures off the kernel's addresses.
DEBUG_APPEND=arm64.nopauth
# drgn 0.0.22 sees two frames and no more, and crash 8.0.2 wants mm_struct.mmap here, which Linux 6.1 has
# no more.
DEBUG_UNWINDERS=

check_machine() {
    local pattern
    for pattern in 'psci: PSCIv1\.[0-9]+ detected' 'GICv3: ' 'ITS@0x' 'arch_timer: .*timer.* running'; do
        section kernel | grep -Eq "$pattern" || fail "dmesg has no line '$pattern'"
    done
    assert_equal "the number of CPUs whose timer ticks" "$(section after | awk '
        /arch_timer/ { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i > 0 } END { print n + 0 }')" "$1"
}
