// SPDX-License-Identifier: Apache-2.0
// Rate limit for log lines that a guest or a client can cause: a burst of ten
// lines, then one every five seconds, which also says how many were left out.
// One limiter belongs to one device or connection. Thread-safe.
#ifndef KVMLET_VMM_BASE_LOG_LIMITER_H_
#define KVMLET_VMM_BASE_LOG_LIMITER_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace kvmlet {

class LogLimiter {
 public:
  // `who` is the prefix of every line; it must outlive the limiter.
  explicit LogLimiter(std::string_view who) : who_(who) {}

  // Logs a warning, or counts it as suppressed.
  void Warn(std::string_view text);
  uint64_t suppressed() const;

 private:
  std::string_view who_;
  mutable std::mutex mutex_;
  int burst_left_ = 10;                           // guarded by mutex_
  uint64_t suppressed_ = 0;                       // guarded by mutex_
  uint64_t suppressed_total_ = 0;                 // guarded by mutex_
  std::chrono::steady_clock::time_point last_{};  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_BASE_LOG_LIMITER_H_
