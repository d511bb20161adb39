// SPDX-License-Identifier: Apache-2.0
// arch/backtrace.h for x86-64: the entry of system calls or the first gate of
// the interrupt table tells where the kernel is.
#include "arch/backtrace.h"

#include <array>
#include <utility>

#include "arch/common/guest_view.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/unwind.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using namespace x86_64;

constexpr uint32_t kMsrLstar = 0xc0000082;

// A gate of the table (Intel SDM volume 3, 6.14.1), its address in three parts.
struct Gate {
  uint16_t low;
  uint16_t selector;
  uint16_t attributes;
  uint16_t middle;
  uint32_t high;
  uint32_t reserved;
};
static_assert(sizeof(Gate) == 16);

X86AddressSpace SpaceOf(const kvm_sregs& sregs) {
  return X86AddressSpace({.cr0 = sregs.cr0,
                          .cr3 = sregs.cr3,
                          .cr4 = sregs.cr4,
                          .efer = sregs.efer});
}

class X86Backtracer final : public Backtracer {
 public:
  explicit X86Backtracer(const KernelFile* file) : file_(file) {
    if (file != nullptr) orc_.emplace(*file);
    if (orc_ && orc_->empty()) orc_.reset();
  }

  std::optional<KernelOffset> FindOffset(
      const KvmVcpu& vcpu, const GuestMemory& memory) const override;
  absl::StatusOr<Backtrace> Read(const KvmVcpu& vcpu, const GuestMemory& memory,
                                 uint64_t offset) const override;

 private:
  const KernelFile* file_;
  std::optional<OrcTable> orc_;
};

std::optional<KernelOffset> X86Backtracer::FindOffset(
    const KvmVcpu& vcpu, const GuestMemory& memory) const {
  const absl::StatusOr<kvm_sregs> sregs = vcpu.fd().Get(kGetSregs);
  if (file_ == nullptr || !sregs.ok()) return std::nullopt;
  const X86AddressSpace space = SpaceOf(*sregs);
  const GuestView view(space, memory);
  const absl::StatusOr<uint64_t> lstar = ReadMsr(vcpu.fd(), kMsrLstar);
  uint64_t divide = 0;
  if (const auto gate = view.Load<Gate>(sregs->idt.base)) {
    divide =
        uint64_t{gate->high} << 32 | uint64_t{gate->middle} << 16 | gate->low;
  }
  struct Anchor {
    const char* symbol;
    uint64_t at;
    const char* source;
  };
  const Anchor anchors[] = {
      {"entry_SYSCALL_64", lstar.value_or(0), "LSTAR is entry_SYSCALL_64"},
      {"asm_exc_divide_error", divide, "IDT entry 0 is asm_exc_divide_error"},
      {"divide_error", divide, "IDT entry 0 is divide_error"},  // before 5.8
      // Until start_kernel has set up its own.
      {"early_idt_handler_array", divide,
       "IDT entry 0 is early_idt_handler_array"},
  };
  for (const Anchor& anchor : anchors) {
    const auto symbol = file_->AddressOf(anchor.symbol);
    if (!symbol || anchor.at == 0) continue;
    const uint64_t offset = anchor.at - *symbol;
    if (!PlausibleOffset(offset) || !HasBanner(view, *file_, offset)) continue;
    return KernelOffset{.value = offset, .source = anchor.source};
  }
  return std::nullopt;
}

absl::StatusOr<Backtrace> X86Backtracer::Read(const KvmVcpu& vcpu,
                                              const GuestMemory& memory,
                                              uint64_t offset) const {
  KVMLET_ASSIGN_OR_RETURN(const kvm_regs regs, vcpu.fd().Get(kGetRegs));
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  // Linux' kernel is 64-bit code in ring 0, and nothing else is looked at.
  if (sregs.ss.dpl != 0) return Backtrace{.user = true};
  if (sregs.cs.l == 0) return Backtrace{};
  const X86AddressSpace space = SpaceOf(sregs);
  const GuestView view(space, memory);
  Unwinder unwinder(view, orc_ ? &*orc_ : nullptr,
                    file_ != nullptr ? FindText(*file_, offset) : KernelText{},
                    offset);
  return unwinder.Unwind({.ip = regs.rip,
                          .sp = regs.rsp,
                          .bp = regs.rbp,
                          .r10 = regs.r10,
                          .r13 = regs.r13,
                          .dx = regs.rdx,
                          .di = regs.rdi});
}

}  // namespace

std::unique_ptr<Backtracer> CreateBacktracer(const KernelFile* file) {
  return std::make_unique<X86Backtracer>(file);
}

}  // namespace kvmlet::arch
