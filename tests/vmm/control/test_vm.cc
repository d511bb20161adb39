// SPDX-License-Identifier: Apache-2.0
#include "tests/vmm/control/test_vm.h"

#include <glog/logging.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <utility>

#include "vmm/base/unix_socket.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {

TempFolder::TempFolder() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "kvmlet-XXXXXX").string();
  PCHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::File(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

TestVm::TestVm() : path_(folder_.File("qmp.sock")) {
  RegisterMachineCommands(registry, machine);
  auto thread = IoThread::Create("qmp-test");
  CHECK(thread.ok());
  thread_ = *std::move(thread);
  auto created = QmpServer::Create(thread_->loop(), path_, registry);
  CHECK(created.ok()) << created.status().message();
  server = *std::move(created);
  events.AddSink(*server);
  thread_->Start();
}

TestVm::~TestVm() { StopServer(); }

void TestVm::StopServer() {
  OnLoop([this] {
    if (server == nullptr) return;
    events.RemoveSink(*server);
    server.reset();
  });
}

RawClient::RawClient(const std::string& path) {
  auto fd = ConnectUnix(
      path, std::chrono::steady_clock::now() + std::chrono::seconds(10));
  CHECK(fd.ok()) << fd.status().message();
  fd_ = *std::move(fd);
}

void RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n =
        ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno != EAGAIN) return;  // the server hung up
    pollfd waiting{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&waiting, 1, 10'000) <= 0) return;
  }
}

std::string RawClient::Line() {
  while (true) {
    if (const size_t end = buffer_.find("\r\n"); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return line;
    }
    pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 10'000) <= 0) return "";
    std::array<char, 65536> chunk;
    const ssize_t n = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (n <= 0) return "";
    buffer_.append(chunk.data(), static_cast<size_t>(n));
  }
}

Json RawClient::Message() { return ParseJson(Line()).value_or(Json()); }

void RawClient::Negotiate() {
  CHECK(Message().contains("QMP"));
  CHECK(Run(R"({"execute":"qmp_capabilities"})").contains("return"));
}

Json RawClient::Run(const std::string& request) {
  Send(request);
  while (true) {
    Json message = Message();
    if (message.is_null() || !message.contains("event")) return message;
  }
}

void RawClient::EndOutput() { ::shutdown(fd_.get(), SHUT_WR); }

std::string ErrorOf(const Json& reply) {
  const Json* error = Member(reply, "error");
  if (error == nullptr) return "";
  return StringMember(*error, "class") + ": " + StringMember(*error, "desc");
}

}  // namespace kvmlet
