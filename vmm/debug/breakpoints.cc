// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/breakpoints.h"

#include <sys/uio.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

arch::BreakKind KindOf(BreakpointType type) {
  switch (type) {
    case BreakpointType::kSoftware:
    case BreakpointType::kHardware:
      return arch::BreakKind::kExecute;
    case BreakpointType::kWrite:
      return arch::BreakKind::kWrite;
    case BreakpointType::kRead:
      return arch::BreakKind::kRead;
    case BreakpointType::kAccess:
      return arch::BreakKind::kAccess;
  }
  return arch::BreakKind::kExecute;
}

const char* NameOf(BreakpointType type) {
  switch (type) {
    case BreakpointType::kSoftware:
      return "break";
    case BreakpointType::kHardware:
      return "hbreak";
    case BreakpointType::kWrite:
      return "watch";
    case BreakpointType::kRead:
      return "rwatch";
    case BreakpointType::kAccess:
      return "awatch";
  }
  return "";
}

// The guest executes what is there from now on.
bool WriteCode(const GuestMemory& memory, Gpa at,
               std::span<const std::byte> code) {
  std::vector<iovec> parts;
  if (!memory.Write(at, code) || !memory.Iovecs(at, code.size(), parts)) {
    return false;
  }
  for (const iovec& part : parts) {
    auto* const start = static_cast<char*>(part.iov_base);
    __builtin___clear_cache(start, start + part.iov_len);
  }
  return true;
}

// Calls function(ours, theirs, size) where [at, at + size) and the
// breakpoint's bytes overlap: offsets into both.
template <typename Function>
void Overlap(const Breakpoint& breakpoint, Gpa at, uint64_t size,
             const Function& function) {
  const uint64_t mine = breakpoint.patched->value;
  const uint64_t start = std::max(mine, at.value);
  const uint64_t end =
      std::min(mine + breakpoint.saved.size(), at.value + size);
  if (start >= end) return;
  function(start - mine, start - at.value, end - start);
}

}  // namespace

absl::Status Breakpoints::Insert(const BreakpointKey& key,
                                 const arch::AddressSpace& space,
                                 std::vector<AgentExpression> conditions) {
  if (const auto it = all_.find(key); it != all_.end()) {
    it->second.conditions = std::move(conditions);
    return absl::OkStatus();
  }
  const bool breaks = key.type == BreakpointType::kSoftware ||
                      key.type == BreakpointType::kHardware;
  if (breaks && arch_.BreakpointInstruction(key.length).empty()) {
    return absl::InvalidArgumentError("no breakpoint has this size");
  }
  Breakpoint breakpoint{.key = key, .conditions = std::move(conditions)};
  if (!Patch(breakpoint, space)) {
    const absl::Status status = AssignSlots(breakpoint);
    if (!status.ok()) {
      last_refusal_ = absl::StrFormat("%s *%#x: %s", NameOf(key.type),
                                      key.address, status.message());
      return status;
    }
  }
  all_.emplace(key, std::move(breakpoint));
  Rebuild();
  return absl::OkStatus();
}

bool Breakpoints::Patch(Breakpoint& breakpoint,
                        const arch::AddressSpace& space) {
  if (breakpoint.key.type != BreakpointType::kSoftware ||
      !arch_.caps().software_breakpoints) {
    return false;
  }
  const auto code = arch_.BreakpointInstruction(breakpoint.key.length);
  const auto page = space.Translate(memory_, breakpoint.key.address);
  if (!page || page->left < code.size()) return false;
  std::vector<std::byte> saved(code.size());
  if (!Read(page->at, saved) || !WriteCode(memory_, page->at, code))
    return false;
  breakpoint.patched = page->at;
  breakpoint.saved = std::move(saved);
  return true;
}

void Breakpoints::Unpatch(Breakpoint& breakpoint) {
  const auto code = arch_.BreakpointInstruction(breakpoint.key.length);
  std::vector<std::byte> now(code.size());
  // The guest may have patched or freed its text meanwhile: then it is not
  // ours to put back.
  if (memory_.Read(*breakpoint.patched, now) && std::ranges::equal(now, code)) {
    (void)WriteCode(memory_, *breakpoint.patched, breakpoint.saved);
  }
  breakpoint.patched.reset();
}

absl::Status Breakpoints::AssignSlots(Breakpoint& breakpoint) {
  const BreakpointKey& key = breakpoint.key;
  const arch::BreakKind kind = KindOf(key.type);
  const bool execute = kind == arch::BreakKind::kExecute;
  if (execute ? !arch_.caps().execute : !arch_.caps().watch) {
    return absl::UnimplementedError(
        absl::StrCat("this host's KVM does not report ",
                     execute ? "hardware breakpoints" : "watchpoints"));
  }
  std::vector<arch::DebugSlot> slots =
      arch_.Slots(kind, key.address, key.length);
  if (slots.empty()) {
    return absl::UnimplementedError("the processor cannot watch this");
  }
  if (!Fits(slots)) {
    return absl::ResourceExhaustedError(
        "all hardware slots are taken; delete a breakpoint or watchpoint");
  }
  breakpoint.slots = std::move(slots);
  return absl::OkStatus();
}

bool Breakpoints::Fits(const std::vector<arch::DebugSlot>& more) const {
  std::vector<arch::DebugSlot> slots = control_.slots;
  for (const arch::DebugSlot& slot : more) {
    if (std::ranges::find(slots, slot) == slots.end()) slots.push_back(slot);
  }
  const auto execute = static_cast<size_t>(std::ranges::count(
      slots, arch::BreakKind::kExecute, &arch::DebugSlot::kind));
  const arch::DebugCaps& caps = arch_.caps();
  if (caps.shared_slots) return slots.size() <= caps.execute_slots;
  return execute <= caps.execute_slots &&
         slots.size() - execute <= caps.watch_slots;
}

void Breakpoints::Remove(const BreakpointKey& key) {
  const auto it = all_.find(key);
  if (it == all_.end()) return;
  if (it->second.patched) Unpatch(it->second);
  all_.erase(it);
  Rebuild();
}

void Breakpoints::RemoveAll() {
  for (auto& [key, breakpoint] : all_) {
    if (breakpoint.patched) Unpatch(breakpoint);
  }
  all_.clear();
  Rebuild();
}

void Breakpoints::OnMemoryReplaced(const arch::AddressSpace& space) {
  for (auto& [key, breakpoint] : all_) {
    if (!breakpoint.patched) continue;
    breakpoint.patched.reset();
    if (!Patch(breakpoint, space)) {
      const absl::Status status = AssignSlots(breakpoint);
      if (!status.ok()) last_refusal_ = std::string(status.message());
    }
    Rebuild();
  }
}

void Breakpoints::Rebuild() {
  control_ = {};
  for (const auto& [key, breakpoint] : all_) {
    if (breakpoint.patched) control_.software_breakpoints = true;
    for (const arch::DebugSlot& slot : breakpoint.slots) {
      if (std::ranges::find(control_.slots, slot) == control_.slots.end()) {
        control_.slots.push_back(slot);
      }
    }
  }
}

const Breakpoint* Breakpoints::OwnerOf(const arch::DebugSlot& slot) const {
  for (const auto& [key, breakpoint] : all_) {
    if (std::ranges::find(breakpoint.slots, slot) != breakpoint.slots.end()) {
      return &breakpoint;
    }
  }
  return nullptr;
}

const Breakpoint* Breakpoints::ExecuteSlotAt(uint64_t address) const {
  for (const arch::DebugSlot& slot : control_.slots) {
    if (slot.kind == arch::BreakKind::kExecute && slot.address == address) {
      return OwnerOf(slot);
    }
  }
  return nullptr;
}

const Breakpoint* Breakpoints::PatchedAt(Gpa at) const {
  for (const auto& [key, breakpoint] : all_) {
    if (breakpoint.patched == at) return &breakpoint;
  }
  return nullptr;
}

void Breakpoints::Lift(Gpa at) {
  const Breakpoint* breakpoint = PatchedAt(at);
  if (breakpoint != nullptr) (void)WriteCode(memory_, at, breakpoint->saved);
}

void Breakpoints::Drop(Gpa at) {
  const Breakpoint* breakpoint = PatchedAt(at);
  if (breakpoint == nullptr) return;
  (void)WriteCode(memory_, at,
                  arch_.BreakpointInstruction(breakpoint->key.length));
}

bool Breakpoints::Read(Gpa at, std::span<std::byte> out) const {
  if (!memory_.Read(at, out)) return false;
  Hide(at, out);
  return true;
}

void Breakpoints::Hide(Gpa at, std::span<std::byte> copy) const {
  for (const auto& [key, breakpoint] : all_) {
    if (!breakpoint.patched) continue;
    Overlap(breakpoint, at, copy.size(),
            [&, &breakpoint = breakpoint](uint64_t mine, uint64_t theirs,
                                          uint64_t size) {
              std::ranges::copy_n(
                  breakpoint.saved.begin() + static_cast<ptrdiff_t>(mine),
                  static_cast<ptrdiff_t>(size),
                  copy.begin() + static_cast<ptrdiff_t>(theirs));
            });
  }
}

bool Breakpoints::Write(Gpa at, std::span<const std::byte> data) {
  if (!WriteCode(memory_, at, data)) return false;
  for (auto& [key, breakpoint] : all_) {
    if (!breakpoint.patched) continue;
    Overlap(breakpoint, at, data.size(),
            [&, &breakpoint = breakpoint](uint64_t mine, uint64_t theirs,
                                          uint64_t size) {
              std::ranges::copy_n(
                  data.begin() + static_cast<ptrdiff_t>(theirs),
                  static_cast<ptrdiff_t>(size),
                  breakpoint.saved.begin() + static_cast<ptrdiff_t>(mine));
              Drop(*breakpoint.patched);
            });
  }
  return true;
}

std::string Breakpoints::Describe() const {
  std::string text;
  for (const auto& [key, breakpoint] : all_) {
    absl::StrAppendFormat(&text, "%-7s %#x", NameOf(key.type), key.address);
    if (breakpoint.patched) {
      absl::StrAppendFormat(&text, "  in memory at %#x, physical",
                            breakpoint.patched->value);
    }
    for (const arch::DebugSlot& slot : breakpoint.slots) {
      const auto at = std::ranges::find(control_.slots, slot);
      absl::StrAppendFormat(&text, "  slot %d (%d bytes)",
                            at - control_.slots.begin(), slot.length);
    }
    if (key.type == BreakpointType::kSoftware && !breakpoint.slots.empty()) {
      absl::StrAppend(&text, "  promoted from memory");
    }
    if (!breakpoint.conditions.empty()) {
      absl::StrAppend(&text, "  with a condition");
    }
    absl::StrAppend(&text, "\n");
  }
  const arch::DebugCaps& caps = arch_.caps();
  absl::StrAppendFormat(&text, "%d of %d slots in use\n", control_.slots.size(),
                        caps.execute_slots + caps.watch_slots);
  if (!last_refusal_.empty()) {
    absl::StrAppend(&text, "last refused: ", last_refusal_, "\n");
  }
  return text;
}

}  // namespace kvmlet
