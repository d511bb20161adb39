// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

QmpReply FromError(const Json& error) {
  QmpReply reply;
  reply.error_class = StringMember(error, "class");
  reply.error_text = StringMember(error, "desc");
  if (reply.error_class.empty()) reply.error_class = "GenericError";
  return reply;
}

// -1, for ever, when there is no deadline.
int PollMilliseconds(QmpClient::Deadline deadline) {
  if (deadline == QmpClient::kForever) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(
      std::clamp<int64_t>(left.count(), 0, int64_t{1} << 30));
}

}  // namespace

absl::StatusOr<std::unique_ptr<QmpClient>> QmpClient::Connect(
    const std::string& path, Deadline deadline) {
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, ConnectUnix(path, deadline));
  std::unique_ptr<QmpClient> client(new QmpClient(std::move(fd)));
  KVMLET_ASSIGN_OR_RETURN(const Json greeting, client->ReadMessage(deadline));
  if (const Json* error = Member(greeting, "error")) {
    return absl::ResourceExhaustedError(StringMember(*error, "desc"));
  }
  if (!greeting.contains("QMP")) {
    return absl::UnavailableError(
        absl::StrCat(path, " does not speak QMP: name the --qmp socket"));
  }
  KVMLET_ASSIGN_OR_RETURN(
      const QmpReply reply,
      client->Execute("qmp_capabilities", Json::object(), deadline));
  if (!reply.ok()) return absl::UnavailableError(reply.error_text);
  return client;
}

absl::StatusOr<QmpReply> QmpClient::Send(Json request, Deadline deadline) {
  if (!request.contains("id")) request["id"] = next_id_++;
  const Json id = request["id"];
  KVMLET_RETURN_IF_ERROR(Write(DumpJson(request) + "\n", deadline));
  while (true) {
    KVMLET_ASSIGN_OR_RETURN(Json message, ReadMessage(deadline));
    if (message.contains("event")) {
      events_.push_back(std::move(message));
      continue;
    }
    // An error about text that is no request at all has no id.
    const Json* error = Member(message, "error");
    const Json* echoed = Member(message, "id");
    if (echoed == nullptr ? error == nullptr : *echoed != id) continue;
    if (error != nullptr) return FromError(*error);
    QmpReply reply;
    if (const Json* result = Member(message, "return")) reply.result = *result;
    return reply;
  }
}

absl::StatusOr<QmpReply> QmpClient::Execute(const std::string& command,
                                            Json arguments, Deadline deadline) {
  Json request = {{"execute", command}};
  if (!arguments.empty()) request["arguments"] = std::move(arguments);
  return Send(std::move(request), deadline);
}

absl::StatusOr<Json> QmpClient::NextEvent(Deadline deadline) {
  while (events_.empty()) {
    absl::StatusOr<Json> message = ReadMessage(deadline);
    if (absl::IsUnavailable(message.status())) {
      return absl::OutOfRangeError("the VM closed the connection");
    }
    if (!message.ok()) return message.status();
    if (message->contains("event")) events_.push_back(*std::move(message));
  }
  Json event = std::move(events_.front());
  events_.pop_front();
  return event;
}

absl::Status QmpClient::Write(const std::string& text, Deadline deadline) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = ::send(fd_.get(), text.data() + sent, text.size() - sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      KVMLET_RETURN_IF_ERROR(Wait(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return absl::UnavailableError("the VM closed the connection");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> QmpClient::ReadMessage(Deadline deadline) {
  while (true) {
    if (const std::optional<JsonStream::Item> item = stream_.Next()) {
      std::optional<Json> message = ParseJson(item->text);
      if (message && message->is_object()) return *std::move(message);
      return absl::DataLossError(
          "the answer is not QMP: name the --qmp socket of a VM");
    }
    KVMLET_RETURN_IF_ERROR(Wait(POLLIN, deadline));
    std::array<char, 64 << 10> buffer;
    const ssize_t n =
        ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) {
      stream_.Push({buffer.data(), static_cast<size_t>(n)});
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      return absl::UnavailableError("the VM closed the connection");
    }
  }
}

absl::Status QmpClient::Wait(short poll_events, Deadline deadline) {
  while (true) {
    pollfd waiting{.fd = fd_.get(), .events = poll_events, .revents = 0};
    const int ready = ::poll(&waiting, 1, PollMilliseconds(deadline));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return PosixError(errno, "poll");
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError("the VM did not answer in time");
    }
  }
}

}  // namespace kvmlet
