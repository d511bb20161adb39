// SPDX-License-Identifier: Apache-2.0
// The breakpoints and watchpoints that the client asked for, and where each
// lives: as an instruction in guest memory, keyed by its guest-physical
// address, or in hardware slots, one pool for all vCPUs. A software
// breakpoint that has no memory to live in yet, or whose instruction this KVM
// does not report, is promoted to a slot.
//
// Threads: changed on the main loop's thread while every vCPU is outside the
// guest; the const members from vCPU threads too while they run.
#ifndef KVMLET_VMM_DEBUG_BREAKPOINTS_H_
#define KVMLET_VMM_DEBUG_BREAKPOINTS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "arch/debug.h"
#include "vmm/debug/agent_expression.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

// As the protocol's Z0 to Z4.
enum class BreakpointType { kSoftware, kHardware, kWrite, kRead, kAccess };

struct BreakpointKey {
  BreakpointType type = BreakpointType::kSoftware;
  uint64_t address = 0;
  uint64_t length = 0;  // the instruction's kind for breakpoints
  friend auto operator<=>(const BreakpointKey&, const BreakpointKey&) = default;
};

struct Breakpoint {
  BreakpointKey key;
  // In memory: where, and what was there. Otherwise it has slots.
  std::optional<Gpa> patched{};
  std::vector<std::byte> saved{};
  std::vector<arch::DebugSlot> slots{};
  // It is hit where one of them is true; without any it always is.
  std::vector<AgentExpression> conditions{};
};

class Breakpoints {
 public:
  // Both outlive it.
  Breakpoints(const arch::Debug& arch, const GuestMemory& memory)
      : arch_(arch), memory_(memory) {}

  // Inserting twice is inserting once; removing what is not there is fine.
  // kUnimplemented: this ISA or host has no such thing. kResourceExhausted:
  // the slots are taken. The conditions replace those of the same one.
  absl::Status Insert(const BreakpointKey& key, const arch::AddressSpace& space,
                      std::vector<AgentExpression> conditions = {});
  void Remove(const BreakpointKey& key);
  void RemoveAll();
  // The guest's memory is new: nothing of ours is in it. What was there is
  // looked for again, or gets a slot.
  void OnMemoryReplaced(const arch::AddressSpace& space);

  // What a vCPU is armed with that just runs.
  const arch::DebugControl& control() const { return control_; }
  const Breakpoint* OwnerOf(const arch::DebugSlot& slot) const;
  const Breakpoint* ExecuteSlotAt(uint64_t address) const;
  const Breakpoint* PatchedAt(Gpa at) const;
  bool any_patched() const { return control_.software_breakpoints; }

  // Takes one instruction out for a step over it, and puts it back.
  void Lift(Gpa at);
  void Drop(Gpa at);

  // Reads and writes as if nothing of ours were there.
  bool Read(Gpa at, std::span<std::byte> out) const;
  // Takes what is ours out of a copy of the memory at `at`.
  void Hide(Gpa at, std::span<std::byte> copy) const;
  bool Write(Gpa at, std::span<const std::byte> data);

  // A table for people, and why the last one was refused.
  std::string Describe() const;
  const std::map<BreakpointKey, Breakpoint>& all() const { return all_; }

 private:
  bool Patch(Breakpoint& breakpoint, const arch::AddressSpace& space);
  void Unpatch(Breakpoint& breakpoint);
  absl::Status AssignSlots(Breakpoint& breakpoint);
  void Rebuild();
  bool Fits(const std::vector<arch::DebugSlot>& more) const;

  const arch::Debug& arch_;
  const GuestMemory& memory_;
  std::map<BreakpointKey, Breakpoint> all_;
  arch::DebugControl control_;
  std::string last_refusal_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_BREAKPOINTS_H_
