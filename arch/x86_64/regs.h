// SPDX-License-Identifier: Apache-2.0
// The boot processor's registers at a kernel's entry, and the descriptor and
// page tables that 64-bit mode needs in memory. Pure functions; addresses are
// guest-physical. Specifications: Linux, Documentation/arch/x86/boot.rst
// "64-bit Boot Protocol"; Xen, docs/misc/pvh; Multiboot 0.6.96, 3.2; Intel SDM
// volume 3.
#ifndef KVMLET_ARCH_X86_64_REGS_H_
#define KVMLET_ARCH_X86_64_REGS_H_

#include <linux/kvm.h>

#include <array>
#include <cstdint>
#include <vector>

#include "arch/x86_64/boot_plan.h"
#include "vmm/memory/gpa.h"

namespace kvmlet::arch::x86_64 {

// Where and how the guest is entered; LoadGuest makes it.
struct BootEntry {
  BootProtocol protocol = BootProtocol::kLinux64;
  Gpa rip;
  Gpa info;  // what RSI (kLinux64) or EBX (the others) points at
};

// `sregs` comes in as KVM_GET_SREGS gave it: what no kernel cares about (the
// APIC base, pending interrupts) stays. `regs` is set as a whole.
void BootRegisters(const BootEntry& entry, kvm_regs& regs, kvm_sregs& sregs);

// For kBootGdt: null, null, code (0x10), data (0x18), TSS (0x20, 16 bytes).
std::array<uint64_t, 6> BuildBootGdt();

// For kBootPageTables: the low 4 GiB mapped onto themselves in 2 MiB pages,
// which every 64-bit processor has.
std::vector<uint64_t> BuildBootPageTables();

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_REGS_H_
