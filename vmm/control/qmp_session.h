// SPDX-License-Identifier: Apache-2.0
// The protocol of one QMP client without its socket: bytes in, lines out. It
// greets, wants the capabilities negotiated, runs commands in their order and
// echoes their ids; whatever a client sends costs it an error reply at most.
//
// Not thread-safe. Lines end in CR LF. QMP specification, sections 2.2 to 2.4.
#ifndef KVMLET_VMM_CONTROL_QMP_SESSION_H_
#define KVMLET_VMM_CONTROL_QMP_SESSION_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "vmm/control/json.h"
#include "vmm/control/json_stream.h"
#include "vmm/control/qmp_registry.h"

namespace kvmlet {

class QmpSession {
 public:
  static constexpr size_t kMaxMessage = 1 << 20;

  // The registry outlives the session.
  explicit QmpSession(const QmpRegistry& registry)
      : registry_(registry), stream_(kMaxMessage) {}

  static std::string Greeting();
  // For a client that is sent away.
  static std::string ErrorLine(std::string_view error_class,
                               std::string_view description);

  void Push(std::string_view bytes) { stream_.Push(bytes); }
  // Runs the next command and returns its reply; nothing when more bytes are
  // needed.
  std::optional<std::string> HandleNext();
  // Events are for clients that finished the negotiation.
  bool negotiated() const { return negotiated_; }

 private:
  Json Execute(const Json& request);
  absl::Status Negotiate(const Json& arguments);

  const QmpRegistry& registry_;
  JsonStream stream_;
  bool negotiated_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_SESSION_H_
