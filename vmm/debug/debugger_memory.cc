// SPDX-License-Identifier: Apache-2.0
// The debugger's view of memory, through a vCPU's address space or physical.
#include <algorithm>
#include <utility>

#include "vmm/base/status_macros.h"
#include "vmm/debug/debugger.h"

namespace kvmlet {

std::optional<arch::AddressSpace::Page> Debugger::PageOf(size_t vcpu,
                                                         uint64_t address) {
  if (physical_) {
    return arch::AddressSpace::Page{.at = Gpa{address},
                                    .left = 4096 - address % 4096};
  }
  const auto space = Space(vcpu);
  if (!space.ok()) return std::nullopt;
  return (*space)->Translate(target_.memory(), address);
}

std::vector<std::byte> Debugger::ReadMemory(size_t vcpu, uint64_t address,
                                            uint64_t length) {
  std::vector<std::byte> out(length);
  uint64_t done = 0;
  while (done < length) {
    const auto page = PageOf(vcpu, address + done);
    if (!page) break;
    const uint64_t part = std::min<uint64_t>(
        {length - done, page->left, 4096 - page->at.value % 4096});
    if (!breakpoints_.Read(page->at, std::span(out).subspan(done, part))) break;
    done += part;
  }
  out.resize(done);
  return out;
}

absl::Status Debugger::WriteMemory(size_t vcpu, uint64_t address,
                                   std::span<const std::byte> data) {
  std::vector<std::pair<Gpa, uint64_t>> parts;
  uint64_t done = 0;
  while (done < data.size()) {
    const auto page = PageOf(vcpu, address + done);
    if (!page) return absl::OutOfRangeError("not mapped");
    const uint64_t part = std::min<uint64_t>(
        {data.size() - done, page->left, 4096 - page->at.value % 4096});
    if (!target_.memory().Contains(page->at, part)) {
      return absl::OutOfRangeError("not in RAM");
    }
    parts.emplace_back(page->at, part);
    done += part;
  }
  done = 0;
  for (const auto& [at, size] : parts) {
    if (!breakpoints_.Write(at, data.subspan(done, size))) {
      return absl::OutOfRangeError("not in RAM");
    }
    done += size;
  }
  return absl::OkStatus();
}

absl::Status Debugger::InsertBreakpoint(
    size_t vcpu, const BreakpointKey& key,
    std::vector<AgentExpression> conditions) {
  KVMLET_ASSIGN_OR_RETURN(const arch::AddressSpace* space, Space(vcpu));
  return breakpoints_.Insert(key, *space, std::move(conditions));
}

}  // namespace kvmlet
