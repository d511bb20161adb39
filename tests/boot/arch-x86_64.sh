# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What is different about x86_64 guests. Sourced by lib.sh.

# How often a test may fail in the lab before it has failed (see README.md).
LAB_TRIES=3
# Cases of tests/kvm that end QEMU's emulation of SVM: a debug exception in real mode.
LAB_NEVER='X86StepTest.*InRealMode*'
# Images and their initrds' versions: compressed, modular, and an ELF file.
GUEST_KERNELS="6.12 6.1-cloud vmlinux-6.12"
# The one whose entry or memory map is another (with ACPI_FLAG): by PVH.
OTHER_ENTRY=vmlinux-6.12
# The doors through which Linux powers off and resets.
POWEROFF_DOOR=acpi-sleep
# The exit that it is, for `monitor catch`, and how that is told.
POWEROFF_CATCH='mmio 0xfeb00010 write'
POWEROFF_CAUGHT='mmio write of 1 byte at 0xfeb00010: 0x34'
RESET_DOOR=i8042
# The one through which a panic leaves.
PANIC_DOOR=pvpanic
# The kernels have kexec_file_load.
KEXEC=yes
# What makes the machine describe itself by ACPI, whose tables name the NUMA node of memory that
# comes later: nothing, it always does.
ACPI_FLAG=
# KVM counts the pages of each size that a guest has.
PAGE_COUNTS=yes
# Where /proc/iomem shows that there is memory above 4 GiB.
HIGH_MEMORY='^100000000-.*System RAM'
# The program counter's name in a report of registers, and one of the kernel's addresses.
PC_REGISTER='RIP='
KERNEL_PC='RIP=ffffffff'
# Shell text that writes 9 to the exit device, in the guest.
WRITE_EXIT_DEVICE='printf "\011" | dd of=/dev/port bs=1 seek=244 2>/dev/null'

# Lines of level "warning" or worse that say nothing against the machine: each is printed by these
# kernels on a real machine, too.
QUIET='Speculative Return Stack Overflow|Spectre V2|RETBleed|MDS CPU bug|MMIO Stale Data|TAA CPU bug'
QUIET="$QUIET|hugepages: |L1TF|VMSCAPE|kvm-guest: |unchecked MSR access|randomness|no_timer_check"
QUIET="$QUIET|amd_pstate: the _CPC object is not present|platform eisa|EISA|device-mapper: core: CONFIG_IMA|integrity: |i8042: "
# An emulated host that is slow says nothing against the machine either.
QUIET="$QUIET|clocksource: Long readout interval|hrtimer: interrupt took|sched: DL replenish lagged"

# Lines of /proc/iomem beside memory and devices.
IOMEM='PCI Bus 0000:00
PCI (ECAM|MMCONFIG)'
# A line of /proc/interrupts for a vector of a virtio device.
DEVICE_INTERRUPT='MSI'

# The debugger: where nokaslr puts the kernel, the entries of system calls and interrupts, and what a
# debugger in the guest never says.
DEBUG_TEXT=ffffffff81000000
DEBUG_ENTRIES="entry_SYSCALL_64 asm_sysvec_apic_timer_interrupt asm_common_interrupt asm_sysvec_reschedule_ipi asm_sysvec_call_function_single"
DEBUG_NEVER=steps=no
# Reports: what tells where the kernel is, how stacks are read with a list of symbols alone, and the ELF
# file that has tables for more.
DEBUG_ANCHOR='LSTAR is entry_SYSCALL_64'
DEBUG_METHOD='stack scan'
DEBUG_TABLES=$GUEST_DIR/vmlinux-6.12
# A function's first argument, to gdb.
# shellcheck disable=SC2016 # for gdb
DEBUG_ARGUMENT='$rdi'
# From the first instruction to where the kernel knows its addresses: it copies the boot parameters out of its
# linear mapping, which KASLR has not moved yet.
# shellcheck disable=SC2016
DEBUG_EARLY=(
    'eval "awatch *(long *)%#lx", 0xffff888000000000 + $rsi' continue
    'python gdb.execute([l for l in gdb.execute("monitor kaslr", to_string=True).splitlines() if "symbol-file" in l][0])'
)
# What calls a system call.
DEBUG_CALL=do_syscall_64
# What gdb needs of the kernel.
DEBUG_APPEND=
# What reads a kernel's stacks in its core file, beside gdb.
DEBUG_UNWINDERS="drgn crash"

# check_machine CPUS: what only this architecture's Linux tells. Used by linux-view.sh.
check_machine() { :; }
