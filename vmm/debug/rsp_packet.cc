// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/rsp_packet.h"

#include <utility>

#include "vmm/debug/rsp_text.h"

namespace kvmlet {
namespace {

constexpr char kInterruptByte = 0x03;
constexpr char kEscape = '}';
constexpr char kEscapeMask = 0x20;
constexpr char kDigits[] = "0123456789abcdef";

char Unescape(char byte) { return static_cast<char>(byte ^ kEscapeMask); }

bool NeedsEscape(char byte) {
  return byte == '#' || byte == '$' || byte == kEscape || byte == '*';
}

}  // namespace

std::optional<RspReader::Item> RspReader::Next() {
  while (!input_.empty()) {
    const char byte = input_.front();
    input_.remove_prefix(1);
    switch (state_) {
      case State::kIdle:
        if (byte == '$') Begin();
        if (byte == kInterruptByte) return Item{.kind = Kind::kInterrupt};
        if (byte == '+') return Item{.kind = Kind::kAck};
        if (byte == '-') return Item{.kind = Kind::kNak};
        break;  // anything else between packets is noise
      case State::kPayload:
        Take(byte);
        break;
      case State::kChecksum1:
        first_digit_ = byte;
        state_ = State::kChecksum2;
        break;
      case State::kChecksum2:
        return Finish(byte);
    }
  }
  return std::nullopt;
}

void RspReader::Begin() {
  state_ = State::kPayload;
  payload_.clear();
  escaped_ = false;
  too_long_ = false;
  length_ = 0;
  sum_ = 0;
}

void RspReader::Take(char byte) {
  if (byte == '#') {
    state_ = State::kChecksum1;
    return;
  }
  // An unescaped '$' is the start of a packet: the end of the last was lost.
  if (byte == '$') return Begin();
  sum_ = static_cast<uint8_t>(sum_ + static_cast<uint8_t>(byte));
  if (too_long_ || ++length_ > kMaxPayload) {
    too_long_ = true;
    payload_.clear();
    return;
  }
  if (escaped_) {
    payload_.push_back(Unescape(byte));
    escaped_ = false;
  } else if (byte == kEscape) {
    escaped_ = true;
  } else {
    payload_.push_back(byte);
  }
}

RspReader::Item RspReader::Finish(char last_digit) {
  state_ = State::kIdle;
  const int high = HexDigit(first_digit_);
  const int low = HexDigit(last_digit);
  if (high < 0 || low < 0 || high * 16 + low != sum_) {
    return {.kind = Kind::kBadChecksum};
  }
  if (too_long_) return {.kind = Kind::kTooLong};
  return {.kind = Kind::kPacket, .payload = std::exchange(payload_, {})};
}

void AppendPacket(std::string_view payload, std::string& out) {
  uint8_t sum = 0;
  for (const char byte : payload) {
    sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(byte));
  }
  out.reserve(out.size() + payload.size() + 4);
  out.push_back('$');
  out.append(payload);
  out.push_back('#');
  out.push_back(kDigits[sum >> 4]);
  out.push_back(kDigits[sum & 15]);
}

void AppendBinary(std::string_view bytes, std::string& out) {
  size_t plain = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (!NeedsEscape(bytes[i])) continue;
    out.append(bytes, plain, i - plain);
    out.push_back(kEscape);
    out.push_back(Unescape(bytes[i]));
    plain = i + 1;
  }
  out.append(bytes, plain);
}

size_t BinaryPrefix(std::string_view bytes, size_t room) {
  size_t used = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    used += NeedsEscape(bytes[i]) ? 2u : 1u;
    if (used > room) return i;
  }
  return bytes.size();
}

}  // namespace kvmlet
