// SPDX-License-Identifier: Apache-2.0
// Stands between a console and its backend and watches the guest's output:
// when it last said something (for --idle-timeout), whether it reported a
// kernel panic, so that the reset which follows it is not taken for a reboot,
// and the status that a test kernel printed before it powers off.
//
// Threads: Write from any thread, the rest as the wrapped backend; the
// questions from any thread.
#ifndef KVMLET_VMM_CONSOLE_WATCH_H_
#define KVMLET_VMM_CONSOLE_WATCH_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "devices/backend/char_backend.h"

namespace kvmlet {

// Finds the first occurrence of a text, and keeps the rest of its line. None of
// the text's prefixes may occur inside it again, but its first letter. Not
// thread-safe.
class LineFinder {
 public:
  explicit LineFinder(std::string_view text) : text_(text) {}

  // True when the text has just been found.
  bool Add(char c);
  bool found() const { return found_; }
  const std::string& line() const { return line_; }
  void Forget();

 private:
  std::string_view text_;
  size_t matched_ = 0;
  bool found_ = false;
  bool collecting_ = false;
  std::string line_;
};

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
  // The guest printed "EXIT: STATUS=N", as kvm-unit-tests do that have no exit
  // device, since the last Forget.
  std::optional<uint32_t> exit_status() const;
  void Forget();

 private:
  CharBackend& backend_;
  std::atomic<int64_t> last_output_{
      std::chrono::steady_clock::now().time_since_epoch().count()};
  std::atomic<bool> panicked_{false};
  mutable std::mutex mutex_;
  LineFinder panic_{"Kernel panic - not syncing: "};  // guarded by mutex_
  LineFinder exit_{"EXIT: STATUS="};                  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONSOLE_WATCH_H_
