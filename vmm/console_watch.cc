// SPDX-License-Identifier: Apache-2.0
#include "vmm/console_watch.h"

#include <charconv>

namespace kvmlet {
namespace {

constexpr size_t kLineLimit = 200;

}  // namespace

bool LineFinder::Add(char c) {
  if (collecting_) {
    if (c == '\n' || c == '\r' || line_.size() >= kLineLimit) {
      collecting_ = false;
    } else {
      line_.push_back(c);
    }
    return false;
  }
  if (found_) return false;  // the first one counts
  if (c != text_[matched_]) matched_ = 0;
  if (c == text_[matched_]) ++matched_;
  if (matched_ < text_.size()) return false;
  found_ = true;
  collecting_ = true;
  return true;
}

void LineFinder::Forget() { *this = LineFinder(text_); }

void ConsoleWatch::Write(std::span<const std::byte> data) {
  last_output_ = std::chrono::steady_clock::now().time_since_epoch().count();
  {
    const std::lock_guard lock(mutex_);
    for (const std::byte b : data) {
      if (panic_.Add(std::to_integer<char>(b))) panicked_ = true;
      exit_.Add(std::to_integer<char>(b));
    }
  }
  backend_.Write(data);
}

std::string ConsoleWatch::panic_line() const {
  const std::lock_guard lock(mutex_);
  return panic_.line();
}

std::optional<uint32_t> ConsoleWatch::exit_status() const {
  const std::lock_guard lock(mutex_);
  const std::string& text = exit_.line();
  uint32_t status = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), status);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return status;
}

void ConsoleWatch::Forget() {
  const std::lock_guard lock(mutex_);
  panic_.Forget();
  exit_.Forget();
  panicked_ = false;
}

}  // namespace kvmlet
