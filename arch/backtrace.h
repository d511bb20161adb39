// SPDX-License-Identifier: Apache-2.0
// The contract between a report of a guest's crash and an instruction set: how
// far the running kernel lies from the addresses of its file, and who called
// whom on a vCPU's stack. arch/<isa>/backtrace.cc implements it; vmm/symbols
// and the machine know no ISA.
//
// Threads: members that take a KvmVcpu run on that vCPU's thread. Errors:
// statuses of KVM's refusals; a stack is the guest's, and one that makes no
// sense ends the backtrace. Units: bytes; addresses are the guest's virtual
// ones. Specification: Documentation/arch/x86/orc-unwinder.rst; AAPCS64, "The
// Frame Pointer".
#ifndef KVMLET_ARCH_BACKTRACE_H_
#define KVMLET_ARCH_BACKTRACE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

// What the kernel's file says; its addresses are those it was linked to.
class KernelFile {
 public:
  struct Section {
    uint64_t address = 0;
    std::span<const std::byte> bytes{};
  };
  virtual ~KernelFile() = default;
  virtual std::optional<uint64_t> AddressOf(std::string_view symbol) const = 0;
  // Empty when the file has no such section, as a System.map has none.
  virtual Section FindSection(std::string_view name) const = 0;
};

// The running kernel is at the file's addresses plus `value`, modulo 2^64.
struct KernelOffset {
  uint64_t value = 0;
  std::string source;  // what told it, for people: "LSTAR"
};

struct BacktraceFrame {
  uint64_t pc = 0;
  // The instruction itself; otherwise where a call returns to.
  bool exact = false;
  // Found on the stack, with nothing that says it belongs there.
  bool guessed = false;
  friend bool operator==(const BacktraceFrame&,
                         const BacktraceFrame&) = default;
};

struct Backtrace {
  bool user = false;     // the vCPU is in user mode: there are no frames
  std::string method{};  // "ORC", "frame pointers", "stack scan"
  std::vector<BacktraceFrame> frames{};  // the innermost first
};

// However deep a stack claims to be.
inline constexpr size_t kMostFrames = 64;

class Backtracer {
 public:
  virtual ~Backtracer() = default;
  // Where this vCPU believes the kernel to be; nullopt when it does not know,
  // or when the file is another kernel's.
  virtual std::optional<KernelOffset> FindOffset(
      const KvmVcpu& vcpu, const GuestMemory& memory) const = 0;
  virtual absl::StatusOr<Backtrace> Read(const KvmVcpu& vcpu,
                                         const GuestMemory& memory,
                                         uint64_t offset) const = 0;
};

// `file` outlives it; null when the user gave none.
std::unique_ptr<Backtracer> CreateBacktracer(const KernelFile* file);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_BACKTRACE_H_
