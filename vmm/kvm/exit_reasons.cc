// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/exit_reasons.h"

#include <iterator>

namespace kvmlet {
namespace {

// By number. Those of other instruction sets are here too: a number is never
// used twice.
constexpr const char* kNames[] = {"unknown",
                                  "exception",
                                  "io",
                                  "hypercall",
                                  "debug",
                                  "hlt",
                                  "mmio",
                                  "irq_window_open",
                                  "shutdown",
                                  "fail_entry",
                                  "intr",
                                  "set_tpr",
                                  "tpr_access",
                                  "s390_sieic",
                                  "s390_reset",
                                  "dcr",
                                  "nmi",
                                  "internal_error",
                                  "osi",
                                  "papr_hcall",
                                  "s390_ucontrol",
                                  "watchdog",
                                  "s390_tsch",
                                  "epr",
                                  "system_event",
                                  "s390_stsi",
                                  "ioapic_eoi",
                                  "hyperv",
                                  "arm_nisv",
                                  "x86_rdmsr",
                                  "x86_wrmsr",
                                  "dirty_ring_full",
                                  "ap_reset_hold",
                                  "x86_bus_lock",
                                  "xen",
                                  "riscv_sbi",
                                  "riscv_csr",
                                  "notify",
                                  "loongarch_iocsr",
                                  "memory_fault",
                                  "tdx",
                                  "arm_sea"};

}  // namespace

std::string ExitReasonName(size_t reason) {
  if (reason < std::size(kNames)) return kNames[reason];
  return "exit_" + std::to_string(reason);
}

}  // namespace kvmlet
