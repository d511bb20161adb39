// SPDX-License-Identifier: Apache-2.0
// Any registers, any stack and any ORC tables: the backtraces of both
// architectures end, and begin where the vCPU stands.
//
// The input: the registers, a byte with the number of ORC entries and the
// layout, for each 4 bytes of its place and 6 of the entry, then two pages of
// stack; what is missing is zero.
#include "arch/arm64/unwind.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "arch/x86_64/unwind.h"
#include "tests/fakes/fake_kernel.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kText = 0xffffffff81000000;
constexpr uint64_t kStack = 0xffffc90000003000;  // crosses 16 KiB
constexpr uint64_t kTables = 0xffffffff82000000;
constexpr uint64_t kOffset = 0x1c000000;

class Input {
 public:
  explicit Input(std::span<const uint8_t> data) : data_(data) {}
  template <typename T>
  T Take() {
    T out{};
    const size_t size = std::min(sizeof(T), data_.size());
    if (size != 0) std::memcpy(&out, data_.data(), size);
    data_ = data_.subspan(size);
    return out;
  }
  std::vector<std::byte> TakeBytes(size_t size) {
    std::vector<std::byte> out(size);
    const size_t there = std::min(size, data_.size());
    if (there != 0) std::memcpy(out.data(), data_.data(), there);
    data_ = data_.subspan(there);
    return out;
  }

 private:
  std::span<const uint8_t> data_;
};

void Check(const arch::Backtrace& backtrace, uint64_t pc) {
  if (backtrace.frames.empty() || backtrace.frames.size() > arch::kMostFrames ||
      backtrace.frames[0].pc != pc || !backtrace.frames[0].exact) {
    std::abort();
  }
}

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kvmlet;
  static GuestMemory memory = FakeKernelMemory(4 * kPage);
  static const FakeSpace space(
      {{kText + kOffset, 2 * kPage, 0}, {kStack, 2 * kPage, 2 * kPage}});
  Input input({data, size});
  const auto start = input.Take<arch::x86_64::UnwindRegisters>();
  const size_t entries = input.Take<uint8_t>() % 32;
  FakeKernelFile file;
  file.symbols_ = {{"_text", kText},
                   {"_stext", kText},
                   {"_etext", kText + 2 * kPage},
                   {"_end", kText + 4 * kPage}};
  file.sections_[".orc_unwind_ip"] = {kTables, input.TakeBytes(4 * entries)};
  file.sections_[".orc_unwind"] = {kTables + kPage,
                                   input.TakeBytes(6 * entries)};
  const std::vector<std::byte> stack = input.TakeBytes(2 * kPage);
  if (!memory.Write(Gpa{2 * kPage}, stack)) std::abort();
  // Every fifth address of the text follows a call.
  static const bool filled = [] {
    for (uint64_t at = 0; at < 2 * kPage; at += 5) {
      if (!memory.Store(Gpa{at}, uint8_t{0xe8})) return false;
    }
    return true;
  }();
  if (!filled) std::abort();
  const arch::GuestView view(space, memory);
  const arch::x86_64::OrcTable orc(file);
  const auto text = arch::x86_64::FindText(file, kOffset);
  for (const auto* table : {&orc, static_cast<decltype(&orc)>(nullptr)}) {
    if (table != nullptr && table->empty()) continue;
    Check(arch::x86_64::Unwinder(view, table, text, kOffset).Unwind(start),
          start.ip);
  }
  Check(arch::arm64::Unwind(
            view,
            {.pc = start.ip, .fp = start.bp, .lr = start.di, .tcr = start.dx}),
        start.ip);
  return 0;
}
