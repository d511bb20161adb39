// SPDX-License-Identifier: Apache-2.0
// The pieces packets are made of: hexadecimal numbers, bytes and names, thread
// ids, and a cursor that reads them from a client's packet without ever
// leaving it. Value types, not thread-safe. gdb's manual, appendix "gdb Remote
// Serial Protocol", "Packets".
#ifndef KVMLET_VMM_DEBUG_RSP_TEXT_H_
#define KVMLET_VMM_DEBUG_RSP_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvmlet {

// 0..15, or -1.
int HexDigit(char digit);
std::string HexOf(std::span<const std::byte> bytes);
std::string HexOf(std::string_view text);
void AppendHex(std::span<const std::byte> bytes, std::string& out);

// A thread as the protocol names it: process 1 is the machine, thread N its
// vCPU N-1.
struct RspThread {
  enum class Kind { kAny, kAll, kOne };
  Kind kind = Kind::kAny;
  size_t vcpu = 0;  // kOne only

  bool Matches(size_t index) const {
    return kind != Kind::kOne || vcpu == index;
  }
};

class RspCursor {
 public:
  explicit RspCursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return text_.empty(); }
  std::string_view rest() const { return text_; }
  // Takes the character, or the word, if it is next.
  bool Skip(char character);
  bool Skip(std::string_view word);
  // 1 to 16 digits.
  std::optional<uint64_t> Hex();
  // Pairs of digits up to the end.
  std::optional<std::vector<std::byte>> HexBytes();
  // This many bytes, as pairs of digits.
  std::optional<std::vector<std::byte>> HexBytes(size_t count);
  // "p1.2", "p1.-1", "2", "-1", "0".
  std::optional<RspThread> Thread();
  // Up to the character, which is taken too, or to the end.
  std::string_view Until(char character);

 private:
  std::optional<RspThread> ThreadNumber();
  std::string_view text_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_RSP_TEXT_H_
