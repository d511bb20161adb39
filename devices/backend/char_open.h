// SPDX-License-Identifier: Apache-2.0
// Opens what a serial port or console can be connected to: the terminal, a
// file, a unix socket that one client at a time may use, a pseudo terminal, or
// nothing.
//
// Threads: main thread, before the loop runs. Errors name the flag, the path
// and the remedy.
#ifndef KVMLET_DEVICES_BACKEND_CHAR_OPEN_H_
#define KVMLET_DEVICES_BACKEND_CHAR_OPEN_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/backend/char_stream.h"

namespace kvmlet {

absl::StatusOr<std::unique_ptr<CharStream>> OpenNullChar(EventLoop& loop);
// What the terminal's user does beside typing to the guest.
struct TerminalHooks {
  std::function<void(char key)> on_escape;
  // Takes the input away from the guest when it returns true.
  std::function<bool(std::span<const std::byte>)> divert;
};
// Standard input and output; on a terminal raw, with escape keys.
absl::StatusOr<std::unique_ptr<CharStream>> OpenStdioChar(EventLoop& loop,
                                                          TerminalHooks hooks);
// Output is appended to nothing: the file is truncated. No input.
absl::StatusOr<std::unique_ptr<CharStream>> OpenFileChar(
    EventLoop& loop, const std::string& flag, const std::string& path);
absl::StatusOr<std::unique_ptr<CharStream>> OpenUnixChar(
    EventLoop& loop, const std::string& flag, const std::string& path);
// Prints the name of the terminal to standard error.
absl::StatusOr<std::unique_ptr<CharStream>> OpenPtyChar(EventLoop& loop);

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_CHAR_OPEN_H_
