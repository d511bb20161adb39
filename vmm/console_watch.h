// SPDX-License-Identifier: Apache-2.0
// Stands between a console and its backend and watches the guest's output:
// when it last said something (for --idle-timeout), and whether it reported a
// kernel panic, so that the reset which follows it is not taken for a reboot.
//
// Threads: Write from any thread, the rest as the wrapped backend; the
// questions from any thread.
#ifndef KVMLET_VMM_CONSOLE_WATCH_H_
#define KVMLET_VMM_CONSOLE_WATCH_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "devices/backend/char_backend.h"

namespace kvmlet {

class ConsoleWatch : public CharBackend {
 public:
  explicit ConsoleWatch(CharBackend& backend) : backend_(backend) {}

  void Write(std::span<const std::byte> data) override;
  void Flush() override { backend_.Flush(); }
  void Hurry(bool on) override { backend_.Hurry(on); }
  void SetInput(InputSink sink) override { backend_.SetInput(std::move(sink)); }
  void InputReady() override { backend_.InputReady(); }

  std::chrono::steady_clock::time_point last_output() const {
    return std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(last_output_.load()));
  }
  // The guest printed "Kernel panic - not syncing" since the last Forget; the
  // rest of that line.
  std::string panic_line() const;
  bool panicked() const { return panicked_.load(); }
  void Forget();

 private:
  void Scan(char c);

  CharBackend& backend_;
  std::atomic<int64_t> last_output_{
      std::chrono::steady_clock::now().time_since_epoch().count()};
  std::atomic<bool> panicked_{false};
  mutable std::mutex mutex_;
  size_t matched_ = 0;       // guarded by mutex_
  bool collecting_ = false;  // guarded by mutex_
  std::string line_;         // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONSOLE_WATCH_H_
