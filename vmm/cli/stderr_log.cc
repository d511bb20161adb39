// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/stderr_log.h"

#include <poll.h>
#include <unistd.h>

#include <string>

#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

constexpr int kPatienceMilliseconds = 1000;

const char* Name(google::LogSeverity severity) {
  switch (severity) {
    case google::GLOG_INFO:
      return "info";
    case google::GLOG_WARNING:
      return "warning";
    case google::GLOG_ERROR:
      return "error";
    default:
      return "fatal";
  }
}

google::LogSeverity LeastSeverity(LogLevel level) {
  if (level == LogLevel::kError) return google::GLOG_ERROR;
  if (level == LogLevel::kWarning) return google::GLOG_WARNING;
  return google::GLOG_INFO;
}

}  // namespace

StderrLog::StderrLog(LogLevel level) : with_place_(level == LogLevel::kDebug) {
  if (!google::IsGoogleLoggingInitialized()) {
    google::InitGoogleLogging("kvmlet");
  }
  // An empty name switches the file of a severity off.
  for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity) {
    google::SetLogDestination(severity, "");
  }
  FLAGS_logtostderr = false;
  FLAGS_stderrthreshold = google::NUM_SEVERITIES;
  FLAGS_minloglevel = LeastSeverity(level);
  FLAGS_v = with_place_ ? 1 : 0;
  google::AddLogSink(this);
}

StderrLog::~StderrLog() { google::RemoveLogSink(this); }

void StderrLog::send(google::LogSeverity severity, const char*,
                     const char* base_filename, int line,
                     const google::LogMessageTime&, const char* message,
                     size_t message_size) {
  const std::string place =
      with_place_ ? Cat({base_filename, ":", std::to_string(line), ": "}) : "";
  const std::string text = Cat({"kvmlet: ", Name(severity), ": ", place,
                                std::string_view(message, message_size), "\n"});
  // A reader that takes nothing must not hold up a vCPU or the end.
  pollfd p{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&p, 1, kPatienceMilliseconds) <= 0) return;
  // Whoever reads standard error may be gone; there is nowhere to say so.
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace kvmlet::cli
