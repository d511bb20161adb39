// SPDX-License-Identifier: Apache-2.0
// The guest as an ELF core file that gdb, crash and drgn open: a thread for
// each vCPU, a PT_LOAD for each range of its memory by physical address, and
// the VMCOREINFO note that a Linux guest keeps in its memory. Left out are
// memory that is not plugged, pages that the host cannot read, and the files of
// persistent memory; a page of zeroes, or one never touched, takes no room.
//
// Threads: any; no vCPU runs meanwhile. Units: bytes. Errors name the file and
// the reason; the file is then as it was before, or is not there. What is in
// memory is the guest's: nothing of it is trusted. Specification: ELF gABI,
// "Program Header" and "Note Section"; QEMU's dump-guest-memory with
// paging=false, whose p_vaddr of 0 its readers know, or true; the kernel's
// kernel/vmcore_info.c.
#ifndef KVMLET_VMM_CORE_GUEST_CORE_H_
#define KVMLET_VMM_CORE_GUEST_CORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/core.h"
#include "vmm/base/replaced_file.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

struct GuestCore {
  const GuestMemory& memory;
  uint16_t machine = 0;  // arch::CoreMachine()
  // Every vCPU's, in order.
  std::vector<arch::CoreNote> notes{};
  // With virtual addresses: these, or, when there are none, the physical ones.
  bool paging = false;
  std::vector<arch::CoreMapping> mappings{};
  // Takes out of a copy of the memory at this address what is not the guest's:
  // a debugger's breakpoints. May be null.
  std::function<void(Gpa, std::span<std::byte>)> hide{};
};

struct GuestCoreSummary {
  uint64_t memory = 0;      // of the ranges in the file
  uint64_t written = 0;     // pages that are not zero
  uint64_t unreadable = 0;  // left out
  bool vmcoreinfo = false;
};

// The file, which nobody but its owner may read; for who wants to know before
// it is needed whether there can be one.
absl::StatusOr<ReplacedFile> CreateCoreFile(const std::string& path);

// Writes a regular file that only its owner may read, in the place of an older
// one.
absl::StatusOr<GuestCoreSummary> WriteGuestCore(const std::string& path,
                                                const GuestCore& core);

}  // namespace kvmlet

#endif  // KVMLET_VMM_CORE_GUEST_CORE_H_
