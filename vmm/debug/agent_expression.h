// SPDX-License-Identifier: Apache-2.0
// gdb's agent expressions: the bytecode in which a client sends a breakpoint's
// condition, so that it is judged here and not by a stop of the world and a
// conversation. Whatever the bytes are, an evaluation ends, in bounded time
// and memory, with a value or with an error.
//
// Immutable, thread-safe. Numbers are 64-bit, memory is little-endian. gdb's
// manual, appendix "The GDB Agent Expression Mechanism".
#ifndef KVMLET_VMM_DEBUG_AGENT_EXPRESSION_H_
#define KVMLET_VMM_DEBUG_AGENT_EXPRESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace kvmlet {

class AgentExpression {
 public:
  static constexpr size_t kLongest = 4096;  // bytes
  static constexpr size_t kDeepest = 128;   // values on the stack
  static constexpr size_t kMostSteps = 100000;

  // What it looks at.
  struct Context {
    // By gdb's number.
    std::function<std::optional<uint64_t>(size_t)> register_value;
    std::function<bool(uint64_t address, std::span<std::byte> out)> read;
  };

  explicit AgentExpression(std::vector<std::byte> code)
      : code_(std::move(code)) {}

  // The value on top of the stack when it ends.
  absl::StatusOr<uint64_t> Evaluate(const Context& context) const;

 private:
  std::vector<std::byte> code_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_AGENT_EXPRESSION_H_
