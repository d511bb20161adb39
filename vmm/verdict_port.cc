// SPDX-License-Identifier: Apache-2.0
#include "vmm/verdict_port.h"

#include <charconv>
#include <cstdint>
#include <string_view>

namespace kvmlet {
namespace {

constexpr size_t kLineLimit = 512;

}  // namespace

void VerdictPort::OnOutput(std::span<const std::byte> data) {
  for (const std::byte b : data) {
    const char c = std::to_integer<char>(b);
    if (c == '\n' || c == '\0') {
      OnLine();
      line_.clear();
    } else if (line_.size() < kLineLimit && c != '\r') {
      line_.push_back(c);
    }
  }
}

void VerdictPort::OnLine() {
  const char* end = line_.data() + line_.size();
  uint64_t code = 0;
  const auto [rest, error] = std::from_chars(line_.data(), end, code);
  // A number that fills the whole of a line that was cut is not to be trusted.
  const bool cut = rest == end && line_.size() == kLineLimit;
  if (error != std::errc() || cut || (rest != end && *rest != ' ')) {
    if (!line_.empty()) log_.Warn("a line that is not \"NUMBER [TEXT]\"");
    return;
  }
  requests_.Exit(Door::kVerdictPort, code,
                 rest == end ? std::string() : std::string(rest + 1, end));
}

}  // namespace kvmlet
