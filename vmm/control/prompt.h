// SPDX-License-Identifier: Apache-2.0
// The command prompt on the guest's terminal (Ctrl-A c): lines are QMP
// commands by name, or by the short words that `kvmlet ctl` has, with
// key=value arguments. While it is open the guest gets no input.
//
// Threads: main loop's thread.
#ifndef KVMLET_VMM_CONTROL_PROMPT_H_
#define KVMLET_VMM_CONTROL_PROMPT_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vmm/control/qmp_registry.h"

namespace kvmlet {

class Prompt {
 public:
  explicit Prompt(const QmpRegistry& registry) : registry_(registry) {}

  void Toggle();
  bool open() const { return open_; }
  // Input while it is open.
  void OnInput(std::span<const std::byte> input);

 private:
  void OnByte(char c);
  void OnLine();

  const QmpRegistry& registry_;
  bool open_ = false;
  std::string line_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_PROMPT_H_
