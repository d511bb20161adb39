// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "vmm/control/ctl_command.h"
#include "vmm/control/ctl_format.h"
#include "vmm/control/ctl_options.h"
#include "vmm/control/ctl_resize.h"
#include "vmm/control/json.h"
#include "vmm/control/qmp_client.h"

namespace kvmlet {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 64;
constexpr int kUnavailable = 69;
constexpr int kTimedOut = 124;

constexpr std::chrono::seconds kDefaultTimeout{10};
constexpr std::chrono::seconds kWaitTimeout{60};

QmpClient::Deadline After(std::chrono::nanoseconds duration) {
  const auto now = std::chrono::steady_clock::now();
  // Subtracted: a duration of centuries must not wrap.
  if (duration >= QmpClient::kForever - now) return QmpClient::kForever;
  return now + duration;
}

// One run of ctl: a connection, a command, what it prints.
class Ctl {
 public:
  Ctl(const CtlOptions& options, std::ostream& out, std::ostream& err)
      : options_(options), out_(out), err_(err) {}

  int Run(const CtlCommand* command);

 private:
  int RunCommand(const CtlCommand& command);
  int Follow(const std::string& id);
  int WaitForEvent();
  int PrintEvents();
  int Error(int status, std::string_view text);
  int Error(const absl::Status& status);
  int ConnectError(const absl::Status& status);
  void PrintEvent(const Json& event);

  const CtlOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  QmpClient::Deadline deadline_{};
  std::unique_ptr<QmpClient> client_;
};

int Ctl::Error(int status, std::string_view text) {
  err_ << "kvmlet ctl: " << Printable(text) << '\n';
  return status;
}

int Ctl::Error(const absl::Status& status) {
  const absl::string_view text = status.message();
  return Error(absl::IsDeadlineExceeded(status) ? kTimedOut : kFailed,
               {text.data(), text.size()});
}

int Ctl::ConnectError(const absl::Status& status) {
  std::string text(status.message());
  if (absl::IsInvalidArgument(status)) return Error(kUsage, text);
  if (absl::IsDeadlineExceeded(status)) return Error(kTimedOut, text);
  if (absl::IsNotFound(status) || absl::IsUnavailable(status)) {
    text += ": is the VM running? It was to be started with --qmp unix:" +
            options_.socket;
  } else if (absl::IsPermissionDenied(status)) {
    text += ": only the user who started the VM, or root, may control it";
  }
  return Error(kUnavailable, text);
}

int Ctl::Run(const CtlCommand* command) {
  deadline_ = After(options_.timeout.value_or(kDefaultTimeout));
  absl::StatusOr<std::unique_ptr<QmpClient>> client =
      QmpClient::Connect(options_.socket, deadline_);
  if (!client.ok()) return ConnectError(client.status());
  client_ = *std::move(client);
  if (command != nullptr && command->request.is_null()) return PrintEvents();
  if (command != nullptr) {
    const int status = RunCommand(*command);
    if (status != kDone) return status;
    if (options_.wait) return Follow(command->resizes);
  }
  return options_.wait_event.empty() ? kDone : WaitForEvent();
}

int Ctl::RunCommand(const CtlCommand& command) {
  const std::string name = StringMember(command.request, "execute");
  const bool patient = command.is_long && !options_.timeout;
  const absl::StatusOr<QmpReply> reply =
      client_->Send(command.request, patient ? QmpClient::kForever : deadline_);
  if (!reply.ok()) {
    if (command.ends_vm && absl::IsUnavailable(reply.status())) return kDone;
    return Error(reply.status());
  }
  if (!reply->ok()) {
    if (command.is_guess && reply->error_class == "CommandNotFound") {
      return Error(kUsage, absl::StrFormat("this VM has no command '%s': see "
                                           "kvmlet ctl %s info commands",
                                           name, options_.socket));
    }
    return Error(kFailed, absl::StrFormat("%s: %s", name, reply->error_text));
  }
  out_ << (options_.json ? DumpJson(reply->result) + "\n"
                         : FormatResult(name, reply->result));
  out_.flush();
  return kDone;
}

int Ctl::Follow(const std::string& id) {
  const absl::Status status = FollowResize(
      *client_, id, After(options_.timeout.value_or(kWaitTimeout)), out_);
  return status.ok() ? kDone : Error(status);
}

void Ctl::PrintEvent(const Json& event) {
  out_ << (options_.json ? DumpJson(event) + "\n" : FormatEvent(event));
  out_.flush();
}

int Ctl::WaitForEvent() {
  while (true) {
    const absl::StatusOr<Json> event = client_->NextEvent(deadline_);
    if (absl::IsDeadlineExceeded(event.status())) {
      return Error(kTimedOut,
                   absl::StrFormat("no event %s in time", options_.wait_event));
    }
    if (absl::IsOutOfRange(event.status())) {
      return Error(kFailed, absl::StrFormat("the VM ended before event %s",
                                            options_.wait_event));
    }
    if (!event.ok()) return Error(event.status());
    if (StringMember(*event, "event") != options_.wait_event) continue;
    PrintEvent(*event);
    return kDone;
  }
}

int Ctl::PrintEvents() {
  // Watching has no end of its own: only a timeout that was asked for counts.
  const QmpClient::Deadline end =
      options_.timeout ? deadline_ : QmpClient::kForever;
  while (true) {
    const absl::StatusOr<Json> event = client_->NextEvent(end);
    if (absl::IsOutOfRange(event.status())) {
      if (options_.wait_event.empty()) return kDone;
      return Error(kFailed, absl::StrFormat("the VM ended before event %s",
                                            options_.wait_event));
    }
    if (!event.ok()) return Error(event.status());
    PrintEvent(*event);
    if (!out_) return kDone;  // nobody reads any more
    if (StringMember(*event, "event") == options_.wait_event) return kDone;
  }
}

}  // namespace

int CtlMain(std::span<const std::string> args, std::ostream& out,
            std::ostream& err) {
  const auto usage = [&err](const absl::Status& status) {
    err << "kvmlet ctl: " << status.message() << '\n';
    return kUsage;
  };
  const absl::StatusOr<CtlOptions> options = ParseCtlOptions(args);
  if (!options.ok()) return usage(options.status());
  if (options->help) {
    out << CtlUsage();
    return kDone;
  }
  Ctl ctl(*options, out, err);
  if (options->words.empty()) return ctl.Run(nullptr);
  const absl::StatusOr<CtlCommand> command = ParseCtlCommand(options->words);
  if (!command.ok()) return usage(command.status());
  if (options->wait && command->resizes.empty()) {
    return usage(absl::InvalidArgumentError("--wait goes with resize ID SIZE"));
  }
  return ctl.Run(&*command);
}

}  // namespace kvmlet
