// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/log_limiter.h"

#include <glog/logging.h>

namespace kvmlet {
namespace {
constexpr std::chrono::seconds kInterval{5};
}  // namespace

void LogLimiter::Warn(std::string_view text) {
  uint64_t left_out = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (burst_left_ > 0) {
      --burst_left_;
    } else if (now - last_ < kInterval) {
      ++suppressed_;
      ++suppressed_total_;
      return;
    }
    last_ = now;
    left_out = suppressed_;
    suppressed_ = 0;
  }
  if (left_out > 0) {
    LOG(WARNING) << who_ << ": " << text << " (" << left_out
                 << " similar lines suppressed)";
  } else {
    LOG(WARNING) << who_ << ": " << text;
  }
}

uint64_t LogLimiter::suppressed() const {
  const std::lock_guard lock(mutex_);
  return suppressed_total_;
}

}  // namespace kvmlet
