// SPDX-License-Identifier: Apache-2.0
// The in-kernel interrupt controllers and timer: two 8259 PICs, the I/O APIC,
// the local APICs and the 8254, with the routes of their pins.
//
// Threads: Create on the building thread, Reset while no vCPU runs.
// Specification: Documentation/virt/kvm/api.rst, KVM_CREATE_IRQCHIP.
#ifndef KVMLET_ARCH_X86_64_IRQCHIP_H_
#define KVMLET_ARCH_X86_64_IRQCHIP_H_

#include <linux/kvm.h>

#include <vector>

#include "absl/status/status.h"
#include "vmm/kvm/kvm_vm.h"

namespace kvmlet::arch::x86_64 {

// Memory slots must be in place, see KvmVm::MapMemory.
absl::Status CreateIrqchip(const KvmVm& vm);
absl::Status ResetIrqchip(const KvmVm& vm);

// GSI 0 (the 8254) arrives at pin 2 of the I/O APIC, as on a PC; every other
// GSI at the pin of its number, and the first 16 at the PICs too.
std::vector<kvm_irq_routing_entry> IrqchipRoutes();

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_IRQCHIP_H_
