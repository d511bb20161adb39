// SPDX-License-Identifier: Apache-2.0
// The contract between the debugger's monitor and an instruction set: what
// gdb calls its registers, how a virtual address becomes a physical one, how
// a vCPU is armed for steps and breakpoints, and why it left the guest.
// arch/<isa>/debug*.cc implements it; vmm/debug knows no ISA.
//
// Threads: members that take a KvmVcpu run on that vCPU's thread, before it
// has one or while it waits outside the guest; the others on any. Errors:
// statuses of KVM's refusals. Units: bytes; addresses are the guest's.
// Specification: KVM_SET_GUEST_DEBUG in Documentation/virt/kvm/api.rst.
#ifndef KVMLET_ARCH_DEBUG_H_
#define KVMLET_ARCH_DEBUG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::arch {

enum class BreakKind { kExecute, kWrite, kRead, kAccess };

// What one hardware slot (a debug register, or a pair) watches.
struct DebugSlot {
  BreakKind kind = BreakKind::kExecute;
  uint64_t address = 0;
  uint32_t length = 1;
  friend bool operator==(const DebugSlot&, const DebugSlot&) = default;
};

// What this host's KVM really does, as a probe saw it.
struct DebugCaps {
  bool single_step = false;
  bool software_breakpoints = false;  // the instruction leaves the guest
  bool execute = false;               // execute slots stop the guest
  bool watch = false;                 // watch slots do
  bool block_interrupts = false;      // steps can keep interrupts out
  bool watch_before_access = false;   // a hit comes before, and comes again
  bool handler_at_once = false;       // Reinject leaves it in its handler
  uint32_t execute_slots = 0;
  uint32_t watch_slots = 0;
  bool shared_slots = false;  // both kinds come out of execute_slots
};

// What a vCPU is armed with. Nothing set: no debugging, at no cost.
struct DebugControl {
  bool single_step = false;
  bool block_interrupts = false;
  bool software_breakpoints = false;
  std::vector<DebugSlot> slots{};
  bool active() const {
    return single_step || software_breakpoints || !slots.empty();
  }
  friend bool operator==(const DebugControl&, const DebugControl&) = default;
};

// Why a vCPU left the guest for the debugger.
struct DebugEvent {
  uint64_t pc = 0;
  bool step = false;             // one instruction is done
  bool instruction = false;      // a breakpoint instruction, at pc
  std::optional<size_t> slot{};  // index into DebugControl::slots
  uint64_t guest_cause = 0;      // the ISA's own word, for Reinject
  // None of them: the exception is the guest's own.
  bool ours() const { return step || instruction || slot.has_value(); }
};

// One step under way; opaque but for `control`, which is what was armed.
struct DebugStep {
  DebugControl control{};
  // The step ends where the slots of `control` from this one on say, not by a
  // trap.
  std::optional<size_t> landing{};
  uint64_t pc = 0;
  uint64_t saved = 0;   // the ISA's own
  bool repair = false;  // FinishStep has something to put right
};

// The address space of a vCPU as it was when it was read.
class AddressSpace {
 public:
  struct Page {
    Gpa at;             // of the address itself
    uint64_t left = 0;  // bytes up to the end of the page, at least 1
  };
  virtual ~AddressSpace() = default;
  // Walks the guest's tables without permission checks; nullopt when nothing
  // is mapped there. The tables are the guest's: every load is checked, every
  // loop bounded.
  virtual std::optional<Page> Translate(const GuestMemory& memory,
                                        uint64_t address) const = 0;
  // For people: how the walk went, a line a level.
  virtual std::string Explain(const GuestMemory& memory,
                              uint64_t address) const = 0;
};

// One register as gdb sees it.
struct DebugRegister {
  std::string name;
  uint32_t size = 0;  // bytes
};

class Debug {
 public:
  virtual ~Debug() = default;

  virtual const DebugCaps& caps() const = 0;

  // gdb's target description: "target.xml".
  virtual std::string_view Description() const = 0;
  // By gdb's number; the first general_count() make up the `g` packet.
  virtual std::span<const DebugRegister> registers() const = 0;
  virtual size_t general_count() const = 0;
  // What every stop reply carries, so that gdb need not ask: the program
  // counter first, then stack and frame pointer.
  virtual std::span<const size_t> expedited() const = 0;
  virtual absl::StatusOr<std::vector<std::byte>> ReadGeneral(
      const KvmVcpu& vcpu) const = 0;
  // All or nothing.
  virtual absl::Status WriteGeneral(const KvmVcpu& vcpu,
                                    std::span<const std::byte> value) const = 0;
  virtual absl::StatusOr<std::vector<std::byte>> ReadRegister(
      const KvmVcpu& vcpu, size_t number) const = 0;
  virtual absl::Status WriteRegister(
      const KvmVcpu& vcpu, size_t number,
      std::span<const std::byte> value) const = 0;
  virtual absl::StatusOr<uint64_t> ProgramCounter(
      const KvmVcpu& vcpu) const = 0;
  virtual absl::StatusOr<std::unique_ptr<AddressSpace>> ReadAddressSpace(
      const KvmVcpu& vcpu) const = 0;
  // For people, in one line: running or halted, mode, address space.
  virtual std::string DescribeVcpu(const KvmVcpu& vcpu) const = 0;

  // The instruction of a software breakpoint of gdb's `kind`; empty when
  // there is none of that kind.
  virtual std::span<const std::byte> BreakpointInstruction(
      uint64_t kind) const = 0;
  // The slots that watch [address, address + length); empty when none can.
  virtual std::vector<DebugSlot> Slots(BreakKind kind, uint64_t address,
                                       uint64_t length) const = 0;

  // Arms the vCPU; the last thing before it enters the guest.
  virtual absl::Status Arm(const KvmVcpu& vcpu,
                           const DebugControl& control) const = 0;
  // Arms it for one instruction, whatever that instruction does to the ISA's
  // own means of stepping. FinishStep follows, also when the step was broken
  // off, and puts right what the guest must not see.
  virtual absl::StatusOr<DebugStep> BeginStep(
      const KvmVcpu& vcpu, const GuestMemory& memory,
      const DebugControl& control) const = 0;
  virtual absl::Status FinishStep(const KvmVcpu& vcpu,
                                  const GuestMemory& memory,
                                  const DebugStep& step) const = 0;
  // After an exit that HandleExit called kDebug.
  virtual DebugEvent ReadEvent(const KvmVcpu& vcpu,
                               const DebugControl& armed) const = 0;
  // Gives the exception of the event to the guest, which then runs its own
  // handler. `armed` stays armed.
  virtual absl::Status Reinject(const KvmVcpu& vcpu, const DebugEvent& event,
                                const DebugControl& armed) const = 0;
};

// Probes what KVM does, with a machine of its own that is thrown away.
absl::StatusOr<std::unique_ptr<Debug>> CreateDebug(const KvmSystem& system);

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_DEBUG_H_
