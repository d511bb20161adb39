// SPDX-License-Identifier: Apache-2.0
// One connected QMP client: reads without blocking, runs its commands in
// order, queues what it is slow to take. While replies wait, no further
// command of it is read; a client that lets events pile up is cut off.
//
// Threads: the main loop's thread only. Sizes are in bytes.
#ifndef KVMLET_VMM_CONTROL_QMP_CONNECTION_H_
#define KVMLET_VMM_CONTROL_QMP_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/base/log_limiter.h"
#include "vmm/base/unique_fd.h"
#include "vmm/control/qmp_session.h"

namespace kvmlet {

class QmpConnection {
 public:
  // Commands wait while more than this is queued.
  static constexpr size_t kPauseAt = 64 << 10;
  // Events beyond this end the connection.
  static constexpr size_t kMaxQueued = 4 << 20;

  // Sends the greeting. The registry and the limiter outlive the connection.
  QmpConnection(UniqueFd fd, const QmpRegistry& registry, LogLimiter& log);
  QmpConnection(const QmpConnection&) = delete;
  QmpConnection& operator=(const QmpConnection&) = delete;

  int fd() const { return fd_.get(); }
  // False when the connection is over and is to be destroyed.
  bool OnReady(uint32_t epoll_events);
  // Queues an event if the client negotiated; failures show in OnReady.
  void SendEvent(std::string_view line);
  // Hands the client what it takes at once.
  void Flush();
  // The epoll events to wait for next.
  uint32_t Interest() const;

 private:
  void Read();
  void Process();
  void Die();
  size_t queued() const { return output_.size() - sent_; }

  UniqueFd fd_;
  LogLimiter& log_;
  QmpSession session_;
  std::string output_;  // from sent_ on: not taken by the client yet
  size_t sent_ = 0;
  bool idle_ = true;  // no complete command waits in session_
  bool end_of_input_ = false;
  bool deaf_ = false;  // it takes no more output
  bool dead_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_CONNECTION_H_
