// SPDX-License-Identifier: Apache-2.0
// The QMP server on a unix socket: accepts clients of the same user or root,
// several at once, and hands each its own session; also an event sink. Nothing
// in it blocks the loop.
//
// Threads: the main loop's thread, or any one thread while the loop does not
// run. QMP specification 1.x, as an honest subset (see the design's section 5).
#ifndef KVMLET_VMM_CONTROL_QMP_SERVER_H_
#define KVMLET_VMM_CONTROL_QMP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "vmm/base/log_limiter.h"
#include "vmm/base/unix_socket.h"
#include "vmm/control/events.h"
#include "vmm/control/qmp_connection.h"
#include "vmm/control/qmp_registry.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {

class QmpServer final : public EventSink {
 public:
  static constexpr size_t kMaxClients = 16;

  // The loop and the registry outlive the server.
  static absl::StatusOr<std::unique_ptr<QmpServer>> Create(
      EventLoop& loop, const std::string& path, const QmpRegistry& registry);
  ~QmpServer() override;

  void OnEvent(const Event& event) override;
  // To all clients, without going through an Events object.
  void EmitEvent(std::string name, Json data);
  size_t clients() const { return connections_.size(); }

 private:
  struct Client {
    std::unique_ptr<QmpConnection> connection;
    uint32_t watched = 0;  // the epoll events that are set
  };

  QmpServer(EventLoop& loop, UnixListener listener, const QmpRegistry& registry)
      : loop_(loop), registry_(registry), listener_(std::move(listener)) {}
  absl::Status Listen();
  void Accept();
  void PauseAccepting();
  void AddClient(UniqueFd fd);
  void OnClient(int fd, uint32_t epoll_events);
  void UpdateInterest(Client& client);

  EventLoop& loop_;
  const QmpRegistry& registry_;
  LogLimiter log_{"qmp"};
  UnixListener listener_;
  std::optional<EventLoop::TimerId> accept_again_;
  std::map<int, Client> connections_;  // by fd
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_QMP_SERVER_H_
