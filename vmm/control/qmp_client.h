// SPDX-License-Identifier: Apache-2.0
// A QMP client that waits, but never longer than it is told: connects,
// negotiates, runs one command at a time and keeps the events that come in
// between. Transport errors are statuses (Unavailable: the server went away,
// DeadlineExceeded: it did not answer); a refused command is a reply.
//
// Not thread-safe. QMP specification.
#ifndef KVMLET_VMM_CONTROL_QMP_CLIENT_H_
#define KVMLET_VMM_CONTROL_QMP_CLIENT_H_

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/unique_fd.h"
#include "vmm/control/json.h"
#include "vmm/control/json_stream.h"

namespace kvmlet {

struct QmpReply {
  Json result;              // what "return" held
  std::string error_class;  // empty when the command succeeded
  std::string error_text;

  bool ok() const { return error_class.empty(); }
};

class QmpClient {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  static constexpr Deadline kForever = Deadline::max();

  // Returns when the server is ready for commands.
  static absl::StatusOr<std::unique_ptr<QmpClient>> Connect(
      const std::string& path, Deadline deadline);

  // `request` is an object with "execute"; an "id" is added when absent.
  absl::StatusOr<QmpReply> Send(Json request, Deadline deadline);
  absl::StatusOr<QmpReply> Execute(const std::string& command, Json arguments,
                                   Deadline deadline);
  // The next event, in the order they came; OutOfRange when the server closed
  // the connection.
  absl::StatusOr<Json> NextEvent(Deadline deadline);

 private:
  static constexpr size_t kMaxMessage = 64 << 20;

  explicit QmpClient(UniqueFd fd) : fd_(std::move(fd)), stream_(kMaxMessage) {}
  absl::Status Write(const std::string& text, Deadline deadline);
  absl::StatusOr<Json> ReadMessage(Deadline deadline);
  absl::Status Wait(short poll_events, Deadline deadline);

  UniqueFd fd_;
  JsonStream stream_;
  std::deque<Json> events_;
  int next_id_ = 1;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_CLIENT_H_
