// SPDX-License-Identifier: Apache-2.0
#include "vmm/verdict.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/replaced_file.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

constexpr uint64_t kLargestGuestStatus = 63;
constexpr int kTimeoutStatus = 124;
constexpr int kSignalBase = 128;

absl::Status WriteAll(int fd, std::string_view text, const std::string& what) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PosixError(errno, what);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

bool IsRegularOrMissing(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) != 0 || S_ISREG(st.st_mode);
}

// A FIFO nobody reads is an error at once: the run is over, and nothing may
// hold up its status.
absl::Status WriteInto(const std::string& path, const std::string& text,
                       const std::string& what) {
  const UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.ok()) return PosixError(errno, what);
  if (::fcntl(fd.get(), F_SETFL, 0) != 0) return PosixError(errno, what);
  return WriteAll(fd.get(), text, what);
}

}  // namespace

std::string_view VerdictReasonName(VerdictReason reason) {
  switch (reason) {
    case VerdictReason::kPowerOff:
      return "poweroff";
    case VerdictReason::kExit:
      return "exit";
    case VerdictReason::kQuit:
      return "quit";
    case VerdictReason::kPanic:
      return "panic";
    case VerdictReason::kTripleFault:
      return "triple-fault";
    case VerdictReason::kReset:
      return "reset";
    case VerdictReason::kKvmError:
      return "kvm-error";
    case VerdictReason::kMemoryError:
      return "memory-error";
    case VerdictReason::kTimeout:
      return "timeout";
    case VerdictReason::kIdleTimeout:
      return "idle-timeout";
    case VerdictReason::kSignal:
      return "signal";
    case VerdictReason::kNotStarted:
      return "not-started";
    case VerdictReason::kInternalError:
      return "internal-error";
  }
  return "internal-error";
}

std::string_view DoorName(Door door) {
  switch (door) {
    case Door::kExitDevice:
      return "exit-device";
    case Door::kVerdictPort:
      return "verdict-port";
    case Door::kPvpanic:
      return "pvpanic";
    case Door::kConsole:
      return "console";
    case Door::kAcpiSleep:
      return "acpi-sleep";
    case Door::kAcpiReset:
      return "acpi-reset";
    case Door::kI8042:
      return "i8042";
    case Door::kPciReset:
      return "pci-reset";
    case Door::kPsci:
      return "psci";
    case Door::kTripleFault:
      return "triple-fault";
    case Door::kSystemEvent:
      return "system-event";
  }
  return "unknown";
}

int Verdict::ExitStatus() const {
  switch (reason) {
    case VerdictReason::kPowerOff:
    case VerdictReason::kQuit:
      return 0;
    case VerdictReason::kExit:
      if (doubled) return static_cast<int>((code << 1 | 1) & 0xff);
      return static_cast<int>(std::min(code, kLargestGuestStatus));
    case VerdictReason::kPanic:
      return 80;
    case VerdictReason::kTripleFault:
      return 81;
    case VerdictReason::kReset:
      return 82;
    case VerdictReason::kKvmError:
      return 83;
    case VerdictReason::kMemoryError:
      return 84;
    case VerdictReason::kTimeout:
    case VerdictReason::kIdleTimeout:
      return kTimeoutStatus;
    case VerdictReason::kSignal:
      return kSignalBase + static_cast<int>(code & 0x7f);
    case VerdictReason::kNotStarted:
      return static_cast<int>(code);
    case VerdictReason::kInternalError:
      return static_cast<int>(kvmlet::ExitStatus::kInternal);
  }
  return static_cast<int>(kvmlet::ExitStatus::kInternal);
}

Json Verdict::ToJson() const {
  Json json = Json::object();
  json["reason"] = std::string(VerdictReasonName(reason));
  json["status"] = ExitStatus();
  json["code"] = code;
  if (door) json["door"] = std::string(DoorName(*door));
  if (!text.empty()) json["text"] = text;
  if (!registers.empty()) json["registers"] = registers;
  if (!core.empty()) json["core"] = core;
  json["wall_seconds"] = wall_seconds;
  json["cpu_seconds"] = cpu_seconds;
  return json;
}

absl::Status Verdict::Write(const std::string& path) const {
  const std::string what = absl::StrCat("--verdict ", path);
  const std::string json = PrettyJson(ToJson()) + "\n";
  return IsRegularOrMissing(path) ? ReplaceFile(path, 0644, json, what)
                                  : WriteInto(path, json, what);
}

}  // namespace kvmlet
