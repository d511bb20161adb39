// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_server.h"

#include <glog/logging.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// How long to leave the listener alone when the process is out of fds: it
// stays readable, so that waiting for it would spin.
constexpr std::chrono::seconds kAcceptPause{1};

}  // namespace

absl::StatusOr<std::unique_ptr<QmpServer>> QmpServer::Create(
    EventLoop& loop, const std::string& path, const QmpRegistry& registry) {
  KVMLET_ASSIGN_OR_RETURN(UnixListener listener,
                          UnixListener::Create("--qmp", path));
  std::unique_ptr<QmpServer> server(
      new QmpServer(loop, std::move(listener), registry));
  KVMLET_RETURN_IF_ERROR(server->Listen());
  return server;
}

QmpServer::~QmpServer() {
  if (accept_again_) loop_.Cancel(*accept_again_);
  loop_.Remove(listener_.get());
  for (const auto& [fd, client] : connections_) {
    loop_.Remove(fd);
    // A last word (the SHUTDOWN event) may still wait; it goes now or never.
    client.connection->Flush();
  }
}

void QmpServer::OnEvent(const Event& event) {
  const std::string line = DumpJson(event.ToJson()) + "\r\n";
  for (auto& [fd, client] : connections_) {
    client.connection->SendEvent(line);
    UpdateInterest(client);
  }
}

void QmpServer::EmitEvent(std::string name, Json data) {
  OnEvent(Event{.name = std::move(name),
                .data = std::move(data),
                .time = std::chrono::system_clock::now()});
}

absl::Status QmpServer::Listen() {
  return loop_.Add(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

void QmpServer::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr,
                        SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.ok()) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM ||
        error == ENOBUFS) {
      PauseAccepting();
    }
    return;
  }
  if (!PeerMayControl(fd.get())) {
    log_.Warn("refused a client of another user");
    return;
  }
  if (connections_.size() >= kMaxClients) {
    const std::string refusal = QmpSession::ErrorLine(
        "GenericError", absl::StrCat("Too many clients, the limit is ",
                                     kMaxClients, ": close one first"));
    // A fresh socket takes one line; a client that left does not need it.
    (void)::send(fd.get(), refusal.data(), refusal.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    return;
  }
  AddClient(std::move(fd));
}

void QmpServer::PauseAccepting() {
  log_.Warn("cannot accept a client: out of file descriptors or memory");
  loop_.Remove(listener_.get());
  accept_again_ = loop_.RunAfter(kAcceptPause, [this] {
    accept_again_.reset();
    if (const absl::Status status = Listen(); !status.ok()) PauseAccepting();
  });
}

void QmpServer::AddClient(UniqueFd fd) {
  const int number = fd.get();
  Client client{.connection = std::make_unique<QmpConnection>(std::move(fd),
                                                              registry_, log_),
                .watched = 0};
  client.watched = client.connection->Interest();
  const absl::Status status =
      loop_.Add(number, client.watched,
                [this, number](uint32_t events) { OnClient(number, events); });
  if (!status.ok()) {
    log_.Warn("cannot watch a client: disconnected");
    return;
  }
  connections_.emplace(number, std::move(client));
}

void QmpServer::OnClient(int fd, uint32_t epoll_events) {
  const auto it = connections_.find(fd);
  CHECK(it != connections_.end());
  if (it->second.connection->OnReady(epoll_events)) {
    UpdateInterest(it->second);
    return;
  }
  loop_.Remove(fd);
  connections_.erase(it);
}

void QmpServer::UpdateInterest(Client& client) {
  const uint32_t wanted = client.connection->Interest();
  if (wanted == client.watched) return;
  const absl::Status status = loop_.Modify(client.connection->fd(), wanted);
  LOG_IF(WARNING, !status.ok()) << "qmp: " << status.message();
  client.watched = wanted;
}

}  // namespace kvmlet
