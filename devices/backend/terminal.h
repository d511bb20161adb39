// SPDX-License-Identifier: Apache-2.0
// The user's terminal: raw mode that is undone on every way out of the
// process, and the escape keys (Ctrl-A x ends, Ctrl-A c opens the command
// prompt, Ctrl-A h helps, Ctrl-A Ctrl-A sends one Ctrl-A).
//
// Threads: main thread. One RawMode exists at a time, because a process has
// one controlling terminal; signal handlers need to find it.
#ifndef KVMLET_DEVICES_BACKEND_TERMINAL_H_
#define KVMLET_DEVICES_BACKEND_TERMINAL_H_

#include <termios.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace kvmlet {

class RawMode {
 public:
  // Null when the descriptor is not a terminal, or when this process runs in
  // the background of one.
  static std::unique_ptr<RawMode> Enter(int fd);
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

  // Back to the user's settings, and raw again (for a prompt).
  void Suspend() const;
  void Resume() const;

 private:
  RawMode(int fd, const termios& before);
  int fd_;
  termios before_;
};

// Finds the escape keys in a stream of input.
class EscapeKeys {
 public:
  explicit EscapeKeys(std::function<void(char key)> on_key)
      : on_key_(std::move(on_key)) {}
  // Returns what is meant for the guest.
  std::vector<std::byte> Filter(std::span<const std::byte> input);

 private:
  std::function<void(char)> on_key_;
  bool escaped_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_TERMINAL_H_
