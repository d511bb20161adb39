// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/exit_status.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "vmm/base/posix_error.h"

namespace kvmlet {
namespace {

constexpr char kPayload[] = "kvmlet/exit_status";

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

ExitStatus ByCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return ExitStatus::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return ExitStatus::kBadInput;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return ExitStatus::kCannotOpen;
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnavailable:
      return ExitStatus::kHostLacks;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return ExitStatus::kInternal;
    default:
      return ExitStatus::kOsRefused;
  }
}

}  // namespace

absl::Status WithExitStatus(absl::Status status, ExitStatus exit) {
  if (status.ok() || status.GetPayload(kPayload)) return status;
  // One byte, the status itself: it needs no parser on the way back.
  const char byte = static_cast<char>(exit);
  status.SetPayload(kPayload, absl::Cord(absl::string_view(&byte, 1)));
  return status;
}

absl::Status Prefixed(std::string_view prefix, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status result(status.code(),
                      absl::StrCat(View(prefix), ": ", status.message()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) {
        result.SetPayload(url, payload);
      });
  return result;
}

absl::Status UsageError(std::string_view message) {
  return WithExitStatus(absl::InvalidArgumentError(View(message)),
                        ExitStatus::kUsage);
}

absl::Status BadInput(std::string_view message) {
  return WithExitStatus(absl::InvalidArgumentError(View(message)),
                        ExitStatus::kBadInput);
}

absl::Status CannotOpen(int error_number, std::string_view context) {
  return WithExitStatus(PosixError(error_number, context),
                        ExitStatus::kCannotOpen);
}

absl::Status HostLacks(std::string_view message) {
  return WithExitStatus(absl::FailedPreconditionError(View(message)),
                        ExitStatus::kHostLacks);
}

absl::Status OsRefused(int error_number, std::string_view context) {
  return WithExitStatus(PosixError(error_number, context),
                        ExitStatus::kOsRefused);
}

int ExitStatusFor(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (payload && payload->size() == 1) return (*payload)[0];
  return static_cast<int>(ByCode(status.code()));
}

}  // namespace kvmlet
