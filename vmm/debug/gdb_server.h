// SPDX-License-Identifier: Apache-2.0
// The door for gdb: listens on a unix socket or on TCP, serves one client at a
// time, and does with the guest what was asked for when that client goes
// without a word. Nothing in it blocks the loop.
//
// Threads: the main loop's thread. A client that does not take its replies is
// not read any more; buffers are bounded.
#ifndef KVMLET_VMM_DEBUG_GDB_SERVER_H_
#define KVMLET_VMM_DEBUG_GDB_SERVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "vmm/base/log_limiter.h"
#include "vmm/base/unique_fd.h"
#include "vmm/base/unix_socket.h"
#include "vmm/config.h"
#include "vmm/debug/debugger.h"
#include "vmm/debug/gdb_session.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {

class GdbServer {
 public:
  // Loop and debugger outlive the server.
  static absl::StatusOr<std::unique_ptr<GdbServer>> Create(
      EventLoop& loop, const GdbConfig& config, Debugger& debugger);
  ~GdbServer();
  GdbServer(const GdbServer&) = delete;
  GdbServer& operator=(const GdbServer&) = delete;

 private:
  GdbServer(EventLoop& loop, const GdbConfig& config, Debugger& debugger)
      : loop_(loop), config_(config), debugger_(debugger) {}
  absl::Status Listen();
  int listener() const;
  void Accept();
  void ServeGone();
  void OnClient(uint32_t epoll_events);
  void Read();
  void Send(std::string_view bytes);
  void Flush();
  // For a client that has to fetch the news of the machine's end.
  void ServeEnd();
  void UpdateInterest();
  // Ends the connection; `stay_stopped` as Debugger::Detach has it.
  void Drop(bool stay_stopped);
  void Grant(GdbSession::Wish wish);
  void OnLost();

  EventLoop& loop_;
  const GdbConfig config_;
  Debugger& debugger_;
  LogLimiter log_{"gdb"};
  std::optional<UnixListener> unix_listener_;
  UniqueFd tcp_listener_;
  UniqueFd client_;
  std::unique_ptr<GdbSession> session_;
  std::string output_;  // not taken by the client yet
  uint32_t watched_ = 0;
  bool lost_ = false;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_DEBUG_GDB_SERVER_H_
