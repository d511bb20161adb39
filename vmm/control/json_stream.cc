// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/json_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/control/json.h"

namespace kvmlet {
namespace {

static_assert(kMaxJsonDepth <= 64, "the bracket stack is one 64-bit word");

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// A byte that no JSON text may hold anywhere.
bool IsForbidden(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0xff || (byte < 0x20 && !IsSpace(c));
}

}  // namespace

void JsonStream::Push(std::string_view bytes) {
  input_.erase(0, next_);
  next_ = 0;
  input_.append(bytes);
}

std::optional<JsonStream::Item> JsonStream::Next() {
  while (next_ < input_.size()) {
    std::optional<Item> item = Step(input_[next_++]);
    if (item) return item;
  }
  input_.clear();
  next_ = 0;
  return std::nullopt;
}

std::optional<JsonStream::Item> JsonStream::Step(char c) {
  switch (state_) {
    case State::kIdle:
      if (c == '{' || c == '[') {
        state_ = State::kMessage;
        return Open(c);
      }
      if (IsSpace(c)) return std::nullopt;
      return Fail(State::kSkipNoise, "expecting an object");
    case State::kMessage:
      return InMessage(c);
    case State::kString:
      return InString(c, /*escaped=*/false);
    case State::kEscape:
      state_ = State::kString;
      return InString(c, /*escaped=*/true);
    case State::kSkipLine:
      if (c == '\n') state_ = State::kIdle;
      if (IsForbidden(c)) state_ = State::kSkipNoise;
      return std::nullopt;
    case State::kSkipNoise:
      if (c == '\n') state_ = State::kIdle;
      if (c == '{') {
        state_ = State::kMessage;
        return Open(c);
      }
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<JsonStream::Item> JsonStream::InMessage(char c) {
  if (IsForbidden(c)) {
    return Fail(State::kSkipNoise, "unexpected control character");
  }
  if (message_.size() >= max_message_) {
    return Fail(c == '\n' ? State::kIdle : State::kSkipLine,
                absl::StrCat("more than ", max_message_, " bytes"));
  }
  if (c == '{' || c == '[') return Open(c);
  if (c == '}' || c == ']') return Close(c);
  if (c == '"') state_ = State::kString;
  message_.push_back(c);
  return std::nullopt;
}

std::optional<JsonStream::Item> JsonStream::InString(char c, bool escaped) {
  if (c == '\n') return Fail(State::kIdle, "unterminated string");
  if (static_cast<unsigned char>(c) < 0x20 || IsForbidden(c)) {
    return Fail(State::kSkipNoise, "control character in a string");
  }
  if (message_.size() >= max_message_) {
    return Fail(State::kSkipLine,
                absl::StrCat("more than ", max_message_, " bytes"));
  }
  if (c == '"' && !escaped) state_ = State::kMessage;
  if (c == '\\' && !escaped) state_ = State::kEscape;
  message_.push_back(c);
  return std::nullopt;
}

std::optional<JsonStream::Item> JsonStream::Open(char c) {
  if (depth_ == kMaxJsonDepth) {
    return Fail(State::kSkipLine,
                absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels"));
  }
  ++depth_;
  is_object_ = (is_object_ << 1) | (c == '{' ? 1 : 0);
  message_.push_back(c);
  return std::nullopt;
}

std::optional<JsonStream::Item> JsonStream::Close(char c) {
  if ((is_object_ & 1) != (c == '}' ? 1u : 0u)) {
    return Fail(State::kSkipLine, "brackets do not match");
  }
  --depth_;
  is_object_ >>= 1;
  message_.push_back(c);
  if (depth_ > 0) return std::nullopt;
  state_ = State::kIdle;
  return Item{.text = std::exchange(message_, {}), .error = {}};
}

JsonStream::Item JsonStream::Fail(State next, std::string why) {
  state_ = next;
  message_.clear();
  depth_ = 0;
  is_object_ = 0;
  return Item{.text = {}, .error = std::move(why)};
}

}  // namespace kvmlet
