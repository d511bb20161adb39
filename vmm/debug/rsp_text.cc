// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/rsp_text.h"

#include <array>

namespace kvmlet {
namespace {

constexpr size_t kMostDigits = 16;

// Two digits for each byte value.
constexpr std::array<char, 512> MakeHexPairs() {
  std::array<char, 512> pairs{};
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < 256; ++i) {
    pairs[2 * i] = kDigits[i >> 4];
    pairs[2 * i + 1] = kDigits[i & 15];
  }
  return pairs;
}
constexpr std::array<char, 512> kHexPairs = MakeHexPairs();

}  // namespace

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

void AppendHex(std::span<const std::byte> bytes, std::string& out) {
  const size_t start = out.size();
  out.resize(start + 2 * bytes.size());
  char* to = out.data() + start;
  for (const std::byte byte : bytes) {
    const size_t at = 2 * static_cast<size_t>(byte);
    *to++ = kHexPairs[at];
    *to++ = kHexPairs[at + 1];
  }
}

std::string HexOf(std::span<const std::byte> bytes) {
  std::string out;
  AppendHex(bytes, out);
  return out;
}

std::string HexOf(std::string_view text) {
  return HexOf(std::as_bytes(std::span(text)));
}

bool RspCursor::Skip(char character) {
  if (text_.empty() || text_.front() != character) return false;
  text_.remove_prefix(1);
  return true;
}

bool RspCursor::Skip(std::string_view word) {
  if (!text_.starts_with(word)) return false;
  text_.remove_prefix(word.size());
  return true;
}

std::optional<uint64_t> RspCursor::Hex() {
  uint64_t value = 0;
  size_t digits = 0;
  while (digits < text_.size() && HexDigit(text_[digits]) >= 0) {
    // Leading zeroes are harmless, but nobody needs many.
    if (digits == kMostDigits) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(HexDigit(text_[digits]));
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text_.remove_prefix(digits);
  return value;
}

std::optional<std::vector<std::byte>> RspCursor::HexBytes() {
  if (text_.size() % 2 != 0) return std::nullopt;
  return HexBytes(text_.size() / 2);
}

std::optional<std::vector<std::byte>> RspCursor::HexBytes(size_t count) {
  if (count > text_.size() / 2) return std::nullopt;
  std::vector<std::byte> bytes;
  bytes.reserve(count);
  for (size_t i = 0; i < 2 * count; i += 2) {
    const int high = HexDigit(text_[i]);
    const int low = HexDigit(text_[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  text_.remove_prefix(2 * count);
  return bytes;
}

std::optional<RspThread> RspCursor::ThreadNumber() {
  if (Skip("-1")) return RspThread{.kind = RspThread::Kind::kAll};
  const std::optional<uint64_t> number = Hex();
  if (!number) return std::nullopt;
  if (*number == 0) return RspThread{.kind = RspThread::Kind::kAny};
  return RspThread{.kind = RspThread::Kind::kOne, .vcpu = *number - 1};
}

std::optional<RspThread> RspCursor::Thread() {
  if (!Skip('p')) return ThreadNumber();
  // There is one process: its number, any, or all of them.
  const std::optional<RspThread> process = ThreadNumber();
  if (!process) return std::nullopt;
  if (process->kind == RspThread::Kind::kOne && process->vcpu != 0) {
    return std::nullopt;
  }
  if (!Skip('.')) return RspThread{.kind = RspThread::Kind::kAll};
  return ThreadNumber();
}

std::string_view RspCursor::Until(char character) {
  const size_t at = text_.find(character);
  const std::string_view part = text_.substr(0, at);
  text_.remove_prefix(at == text_.npos ? text_.size() : at + 1);
  return part;
}

}  // namespace kvmlet
