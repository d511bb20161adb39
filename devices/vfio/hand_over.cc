// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/hand_over.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::vfio {
namespace {

constexpr size_t kMostText = 1024;
constexpr size_t kFds = 3;
constexpr std::string_view kDeviceWord = "device ";
constexpr std::string_view kErrorWord = "error ";

absl::Status SendMessage(int socket, const std::string& text,
                         std::span<const int> fds) {
  iovec bytes{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kFds * sizeof(int))>
      control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return OsRefused(sent < 0 ? errno : EPIPE, "sending to the other process");
}

struct Message {
  std::string text;  // without the line's end
  std::vector<UniqueFd> fds;
};

absl::StatusOr<Message> ReceiveMessage(int socket,
                                       std::chrono::milliseconds wait) {
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  const int polled = ::poll(&ready, 1, static_cast<int>(wait.count()));
  if (polled <= 0) {
    return OsRefused(polled < 0 ? errno : ETIMEDOUT,
                     "waiting for the other process's answer");
  }
  Message message;
  message.text.resize(kMostText);
  iovec bytes{message.text.data(), message.text.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kFds * sizeof(int))>
      control{};
  msghdr head{};
  head.msg_iov = &bytes;
  head.msg_iovlen = 1;
  head.msg_control = control.data();
  head.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
  for (cmsghdr* part = got >= 0 ? CMSG_FIRSTHDR(&head) : nullptr;
       part != nullptr; part = CMSG_NXTHDR(&head, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  if (got <= 0) {
    return OsRefused(got < 0 ? errno : ECONNRESET,
                     "receiving from the other process");
  }
  message.text.resize(static_cast<size_t>(got));
  if (message.text.ends_with('\n')) message.text.pop_back();
  return message;
}

}  // namespace

absl::Status SendLine(int socket, const std::string& line) {
  return SendMessage(socket, line + "\n", {});
}

absl::StatusOr<std::string> ReceiveLine(int socket,
                                        std::chrono::milliseconds wait) {
  KVMLET_ASSIGN_OR_RETURN(Message message, ReceiveMessage(socket, wait));
  return std::move(message.text);
}

absl::Status SendDevice(int socket, const HandedDevice& device) {
  const std::array<int, kFds> fds{device.container.get(),
                                  device.group_file.get(), device.device.get()};
  return SendMessage(
      socket, absl::StrCat("device ", device.bdf, " ", device.group, "\n"),
      fds);
}

absl::StatusOr<HandedDevice> ReceiveDevice(int socket,
                                           std::chrono::milliseconds wait) {
  KVMLET_ASSIGN_OR_RETURN(Message message, ReceiveMessage(socket, wait));
  const std::string& text = message.text;
  if (text.starts_with(kErrorWord)) {
    return WithExitStatus(
        absl::PermissionDeniedError(text.substr(kErrorWord.size())),
        ExitStatus::kOsRefused);
  }
  HandedDevice device;
  const size_t space = text.rfind(' ');
  if (!text.starts_with(kDeviceWord) || space < kDeviceWord.size() ||
      !absl::SimpleAtoi(text.substr(space + 1), &device.group) ||
      message.fds.size() != kFds) {
    return BadInput("the other process's answer is no device");
  }
  KVMLET_ASSIGN_OR_RETURN(
      device.bdf, ParseDeviceName(text.substr(kDeviceWord.size(),
                                              space - kDeviceWord.size())));
  device.container = std::move(message.fds[0]);
  device.group_file = std::move(message.fds[1]);
  device.device = std::move(message.fds[2]);
  return device;
}

}  // namespace kvmlet::vfio
