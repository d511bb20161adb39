// SPDX-License-Identifier: Apache-2.0
#include "vmm/console_watch.h"

#include <string_view>

namespace kvmlet {
namespace {

constexpr std::string_view kPanic = "Kernel panic - not syncing: ";
constexpr size_t kLineLimit = 200;

}  // namespace

void ConsoleWatch::Write(std::span<const std::byte> data) {
  last_output_ = std::chrono::steady_clock::now().time_since_epoch().count();
  {
    const std::lock_guard lock(mutex_);
    for (const std::byte b : data) Scan(std::to_integer<char>(b));
  }
  backend_.Write(data);
}

void ConsoleWatch::Scan(char c) {
  if (collecting_) {
    if (c == '\n' || c == '\r' || line_.size() >= kLineLimit) {
      collecting_ = false;
    } else {
      line_.push_back(c);
    }
    return;
  }
  // No prefix of the text occurs inside it again, but its first letter.
  if (c != kPanic[matched_]) matched_ = 0;
  if (c == kPanic[matched_]) ++matched_;
  if (matched_ < kPanic.size()) return;
  matched_ = 0;
  if (panicked_.exchange(true)) return;  // the first one counts
  collecting_ = true;
  line_.clear();
}

std::string ConsoleWatch::panic_line() const {
  const std::lock_guard lock(mutex_);
  return line_;
}

void ConsoleWatch::Forget() {
  const std::lock_guard lock(mutex_);
  matched_ = 0;
  collecting_ = false;
  line_.clear();
  panicked_ = false;
}

}  // namespace kvmlet
