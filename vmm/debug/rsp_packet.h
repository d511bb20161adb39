// SPDX-License-Identifier: Apache-2.0
// The framing of gdb's remote serial protocol: `$payload#checksum`, the
// acknowledgements between packets and the interrupt byte. RspReader takes
// any bytes in pieces of any size, in bounded memory; the functions below it
// write packets.
//
// Not thread-safe. Sizes are in bytes. gdb's manual, appendix "gdb Remote
// Serial Protocol", "Overview".
#ifndef KVMLET_VMM_DEBUG_RSP_PACKET_H_
#define KVMLET_VMM_DEBUG_RSP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvmlet {

class RspReader {
 public:
  // The longest payload, before its escapes are undone; told to the client.
  static constexpr size_t kMaxPayload = 0x20000;

  enum class Kind {
    kPacket,       // payload, escapes undone
    kInterrupt,    // 0x03 between packets
    kAck,          // '+'
    kNak,          // '-'
    kBadChecksum,  // a packet that arrived damaged
    kTooLong,      // a packet beyond kMaxPayload, skipped as a whole
  };
  struct Item {
    Kind kind = Kind::kAck;
    std::string payload{};
  };

  // The bytes stay the caller's; Next until it has nothing before more come.
  void Push(std::string_view bytes) { input_ = bytes; }
  std::optional<Item> Next();

 private:
  enum class State { kIdle, kPayload, kChecksum1, kChecksum2 };
  void Begin();
  void Take(char byte);
  Item Finish(char last_digit);

  std::string_view input_;
  State state_ = State::kIdle;
  std::string payload_;
  bool escaped_ = false;
  bool too_long_ = false;
  size_t length_ = 0;  // with escapes
  uint8_t sum_ = 0;
  char first_digit_ = 0;
};

// Appends the payload as a packet. What needs escapes has them already.
void AppendPacket(std::string_view payload, std::string& out);

// Appends bytes as a binary payload: '#', '$', '}' and '*' are escaped.
void AppendBinary(std::string_view bytes, std::string& out);
// How many leading bytes fit into `room` when escaped.
size_t BinaryPrefix(std::string_view bytes, size_t room);

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_RSP_PACKET_H_
