// SPDX-License-Identifier: Apache-2.0
// Cuts a stream of bytes into JSON arrays and objects, which may be split over
// reads, run into one another or span lines. What cannot be part of one is
// reported once and skipped, so that the stream goes on at the next message;
// memory is bounded by the size limit. Not thread-safe. QMP specification,
// "Forcing the JSON parser into known-good state".
#ifndef KVMLET_VMM_CONTROL_JSON_STREAM_H_
#define KVMLET_VMM_CONTROL_JSON_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvmlet {

class JsonStream {
 public:
  struct Item {
    std::string text;   // one balanced object or array, not yet parsed
    std::string error;  // or why bytes were thrown away
  };

  explicit JsonStream(size_t max_message) : max_message_(max_message) {}

  void Push(std::string_view bytes);
  // Nothing when more bytes are needed.
  std::optional<Item> Next();

 private:
  // After an error inside a message the rest of its line is skipped; between
  // messages an opening brace is trusted too. A control character or 0xff,
  // which no JSON text holds, ends every state: clients send it on purpose.
  enum class State { kIdle, kMessage, kString, kEscape, kSkipLine, kSkipNoise };

  std::optional<Item> Step(char c);
  std::optional<Item> InMessage(char c);
  std::optional<Item> InString(char c, bool escaped);
  std::optional<Item> Open(char c);
  std::optional<Item> Close(char c);
  Item Fail(State next, std::string why);

  const size_t max_message_;
  State state_ = State::kIdle;
  std::string input_;  // from next_ on: not looked at yet
  size_t next_ = 0;
  std::string message_;     // the current message so far
  size_t depth_ = 0;        // open brackets in message_, at most 64
  uint64_t is_object_ = 0;  // bit 0: the innermost bracket is a brace
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_JSON_STREAM_H_
