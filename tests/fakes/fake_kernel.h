// SPDX-License-Identifier: Apache-2.0
// A kernel for backtraces without one: its file, and the memory of a guest that
// has some of its addresses mapped, without page tables.
#ifndef KVMLET_TESTS_FAKES_FAKE_KERNEL_H_
#define KVMLET_TESTS_FAKES_FAKE_KERNEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/backtrace.h"
#include "arch/debug.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class FakeKernelFile final : public arch::KernelFile {
 public:
  std::optional<uint64_t> AddressOf(std::string_view symbol) const override {
    const auto found = symbols_.find(std::string(symbol));
    if (found == symbols_.end()) return std::nullopt;
    return found->second;
  }
  Section FindSection(std::string_view name) const override {
    const auto found = sections_.find(std::string(name));
    if (found == sections_.end()) return {};
    return {.address = found->second.first, .bytes = found->second.second};
  }

  std::map<std::string, uint64_t> symbols_;
  std::map<std::string, std::pair<uint64_t, std::vector<std::byte>>> sections_;
};

// [base, base + size) of virtual addresses is at `at`.
class FakeSpace final : public arch::AddressSpace {
 public:
  struct Range {
    uint64_t base;
    uint64_t size;
    uint64_t at;
  };
  explicit FakeSpace(std::vector<Range> ranges) : ranges_(std::move(ranges)) {}
  std::optional<Page> Translate(const GuestMemory&,
                                uint64_t address) const override {
    for (const Range& range : ranges_) {
      if (address - range.base >= range.size) continue;
      const uint64_t offset = address - range.base;
      return Page{.at = Gpa{range.at + offset},
                  .left = 4096 - (address & 4095)};
    }
    return std::nullopt;
  }
  std::string Explain(const GuestMemory&, uint64_t) const override {
    return "";
  }

 private:
  std::vector<Range> ranges_;
};

inline GuestMemory FakeKernelMemory(uint64_t size) {
  const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, size}};
  return *GuestMemory::Create(ranges, {});
}

}  // namespace kvmlet

#endif  // KVMLET_TESTS_FAKES_FAKE_KERNEL_H_
