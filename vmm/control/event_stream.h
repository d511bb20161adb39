// SPDX-License-Identifier: Apache-2.0
// Events as JSON lines into a file, a FIFO or an inherited descriptor
// (--events PATH|fd:N). A reader that is slow costs events, never time: what
// does not fit is counted, and told as "__org.kvmlet_EVENTS_LOST" when there
// is room again.
//
// Threads: the main loop's thread, or any one thread while the loop does not
// run. Sizes are in bytes.
#ifndef KVMLET_VMM_CONTROL_EVENT_STREAM_H_
#define KVMLET_VMM_CONTROL_EVENT_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"
#include "vmm/control/events.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {

class EventStream final : public EventSink {
 public:
  // Lines that wait for the reader.
  static constexpr size_t kMaxQueued = 64 << 10;

  // `target` is a path, which is created or appended to, or "fd:N", which is
  // taken over. The loop outlives the stream.
  static absl::StatusOr<std::unique_ptr<EventStream>> Create(
      EventLoop& loop, const std::string& target);
  // Gives a reader a fifth of a second to take the last lines.
  ~EventStream() override;

  void OnEvent(const Event& event) override;
  uint64_t dropped() const { return dropped_; }

 private:
  EventStream(EventLoop& loop, UniqueFd fd, bool is_socket)
      : loop_(loop), fd_(std::move(fd)), is_socket_(is_socket) {}
  void Queue(const Event& event);
  void Flush();
  void Watch(bool wanted);
  void Fail(int error);
  void Drain();

  EventLoop& loop_;
  UniqueFd fd_;  // closed after an error
  const bool is_socket_;
  std::string queue_;
  bool watched_ = false;
  uint64_t dropped_ = 0;
  uint64_t dropped_untold_ = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_EVENT_STREAM_H_
