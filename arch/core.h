// SPDX-License-Identifier: Apache-2.0
// What a core file of the guest says in its architecture's own words: ELF's
// number of the machine, and the notes that hold one vCPU's registers, and what
// its page tables map. arch/<isa>/core.cc implements it; vmm/core knows no ISA.
//
// Threads: ReadCoreNotes on the vCPU's thread. Errors: statuses of KVM's
// refusals. Specification: ELF gABI, "Note Section"; core(5); struct
// elf_prstatus of the kernel's include/uapi/linux/elfcore.h.
#ifndef KVMLET_ARCH_CORE_H_
#define KVMLET_ARCH_CORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/gpa.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

struct CoreNote {
  std::string name;  // "CORE"
  uint32_t type = 0;
  std::vector<std::byte> data;
};

// EM_X86_64, EM_AARCH64.
uint16_t CoreMachine();

// NT_PRSTATUS first, which makes it a thread, and what follows is that
// thread's. Threads are counted from 1.
absl::StatusOr<std::vector<CoreNote>> ReadCoreNotes(const KvmVcpu& vcpu,
                                                    uint32_t index);

// What a stretch of virtual addresses maps.
struct CoreMapping {
  uint64_t address = 0;
  Gpa at;
  uint64_t size = 0;
  friend bool operator==(const CoreMapping&, const CoreMapping&) = default;
};

// What the vCPU's page tables map, the kernel's half first, at most so many;
// none when it does not translate. The tables are the guest's.
absl::StatusOr<std::vector<CoreMapping>> ReadCoreMappings(
    const KvmVcpu& vcpu, const GuestMemory& memory, size_t most);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_CORE_H_
