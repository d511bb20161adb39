// SPDX-License-Identifier: Apache-2.0
// A trace of exits that anybody may have written. The input is a small file's
// headers and then its records; what lies between them, and a good magic, is
// put in here, or no input would come far.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <sstream>
#include <vector>

#include "vmm/exits/exit_report.h"

namespace kvmlet {
namespace {

constexpr uint64_t kCapacity = 4;
constexpr uint32_t kVcpus = 2;

// The first byte says how much of the header is the input's.
std::vector<std::byte> File(std::span<const std::byte> input) {
  std::vector<std::byte> file(ExitTraceBytes(kVcpus, kCapacity));
  ExitTraceHeader header{.version = kExitTraceVersion,
                         .vcpus = kVcpus,
                         .capacity = kCapacity,
                         .record_size = sizeof(ExitRecord),
                         .reasons = kExitReasons,
                         .realtime = 1,
                         .end = 0};
  std::ranges::copy(kExitTraceMagic, header.magic);
  std::memcpy(file.data(), &header, sizeof(header));
  if (input.empty()) return file;
  const auto taken = static_cast<uint8_t>(input[0]);
  input = input.subspan(1);
  const auto take = [&](size_t offset, size_t size) {
    size = std::min({size, input.size(), file.size() - offset});
    std::ranges::copy(input.first(size),
                      file.begin() + static_cast<std::ptrdiff_t>(offset));
    input = input.subspan(size);
  };
  take(sizeof(header) - std::min<size_t>(taken % 64, sizeof(header)),
       std::min<size_t>(taken % 64, sizeof(header)));
  const uint64_t stride = ExitTraceStride(kCapacity);
  for (uint32_t i = 0; i < kVcpus; ++i) {
    const uint64_t part = kExitTracePage + i * stride;
    take(part, sizeof(uint64_t));
    take(part + kExitTracePage, kCapacity * sizeof(ExitRecord));
    take(part + offsetof(ExitTraceVcpu, totals), 4 * sizeof(ExitTotals));
  }
  // A file that was cut.
  if (taken >= 192)
    file.resize(file.size() - std::min(file.size(), input.size()));
  return file;
}

void Run(std::span<const std::byte> input) {
  const std::vector<std::byte> file = File(input);
  const uint64_t later = input.size();
  for (const std::span<const std::byte> bytes :
       {std::span<const std::byte>(file), input}) {
    const auto trace = ParseExitTrace(bytes, std::span(&later, 1));
    if (!trace.ok()) continue;
    std::ostringstream out;
    ListExits(*trace, out);
    out << ExitTable(*trace) << ExitJson(*trace);
  }
}

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::Run(std::as_bytes(std::span(data, size)));
  return 0;
}
