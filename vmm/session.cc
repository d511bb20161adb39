// SPDX-License-Identifier: Apache-2.0
#include "vmm/session.h"

#include <glog/logging.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/backend/char_open.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/core/guest_core.h"

namespace kvmlet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPatienceMilliseconds = 1000;

constexpr int kEndSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

bool IsCrash(VerdictReason reason) {
  return reason == VerdictReason::kPanic ||
         reason == VerdictReason::kTripleFault ||
         reason == VerdictReason::kKvmError ||
         reason == VerdictReason::kMemoryError;
}

bool IsHang(VerdictReason reason) {
  return reason == VerdictReason::kTimeout ||
         reason == VerdictReason::kIdleTimeout;
}

// Whoever does not read standard error must not hold up the end.
void Tell(std::string_view text) {
  while (!text.empty()) {
    pollfd p{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (::poll(&p, 1, kPatienceMilliseconds) <= 0) return;
    // A pipe that polls writable takes this much without blocking.
    const ssize_t n = ::write(STDERR_FILENO, text.data(),
                              std::min<size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
}

// One line for the user, when the end was not of the guest's choosing.
void Report(const Verdict& verdict) {
  switch (verdict.reason) {
    case VerdictReason::kPowerOff:
    case VerdictReason::kExit:
    case VerdictReason::kQuit:
    case VerdictReason::kReset:
    case VerdictReason::kNotStarted:
      return;
    default:
      break;
  }
  const std::string_view reason = VerdictReasonName(verdict.reason);
  Tell(absl::StrCat("kvmlet: ", absl::string_view(reason.data(), reason.size()),
                    verdict.text.empty() ? "" : ": ", verdict.text, " (status ",
                    verdict.ExitStatus(), ")\n", verdict.registers));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(
    const VmConfig& config) {
  if (!config.on_hang.dump_path.empty()) {
    // Better known now than when it is needed.
    const absl::Status status =
        CreateCoreFile(config.on_hang.dump_path).status();
    if (!status.ok()) return Prefixed("--on-hang", status);
  }
  auto session = std::unique_ptr<Session>(new Session(config));
  KVMLET_ASSIGN_OR_RETURN(session->loop_, EventLoop::Create());
  // A FIFO waits for its reader, and the user's signals end that wait.
  if (config.serial.kind == SerialKind::kFile) {
    KVMLET_ASSIGN_OR_RETURN(session->serial_, session->OpenSerial());
  }
  KVMLET_RETURN_IF_ERROR(session->WatchSignals());
  KVMLET_RETURN_IF_ERROR(session->OpenConsoles());
  KVMLET_RETURN_IF_ERROR(session->OpenControl());
  CharBackend* const console =
      session->terminal_watch_ ? &*session->terminal_watch_ : nullptr;
  KVMLET_ASSIGN_OR_RETURN(session->machine_,
                          Machine::Create({.config = config,
                                           .loop = *session->loop_,
                                           .serial = *session->serial_watch_,
                                           .console = console,
                                           .events = session->events_,
                                           .listener = *session}));
  RegisterMachineCommands(session->registry_, *session->machine_);
  if (config.gdb) {
    KVMLET_ASSIGN_OR_RETURN(session->gdb_,
                            GdbServer::Create(*session->loop_, *config.gdb,
                                              *session->machine_->debugger()));
  }
  return session;
}

Session::~Session() {
  CloseConsoles();
  gdb_.reset();
  machine_.reset();
  qmp_.reset();
  if (event_stream_ != nullptr) events_.RemoveSink(*event_stream_);
}

// Whoever does not read the guest's output any more must not hold up the end.
void Session::CloseConsoles() {
  if (serial_ != nullptr) serial_->Close();
  if (terminal_ != nullptr) terminal_->Close();
}

absl::Status Session::WatchSignals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // what ulimit -f forbids is an error
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kEndSignals) {
    // A shell that started us in the background ignores SIGINT: keep that.
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 &&
        action.sa_handler == SIG_IGN) {
      continue;
    }
    sigaddset(&set, signal);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.ok()) return PosixError(errno, "signalfd");
  return loop_->Add(signals_.get(), EPOLLIN, [this](uint32_t) { OnSignal(); });
}

absl::StatusOr<std::unique_ptr<CharStream>> Session::OpenTerminal() {
  return OpenStdioChar(*loop_,
                       {.on_escape = [this](char key) { OnEscape(key); },
                        .divert =
                            [this](std::span<const std::byte> input) {
                              if (!prompt_.open()) return false;
                              prompt_.OnInput(input);
                              return true;
                            }});
}

absl::StatusOr<std::unique_ptr<CharStream>> Session::OpenSerial() {
  const SerialConfig& serial = config_.serial;
  switch (serial.kind) {
    case SerialKind::kStdio:
      // With --console the terminal belongs to hvc0.
      if (config_.console) return OpenNullChar(*loop_);
      return OpenTerminal();
    case SerialKind::kFile:
      return OpenFileChar(*loop_, "--serial", serial.path);
    case SerialKind::kUnix:
      return OpenUnixChar(*loop_, "--serial", serial.path);
    case SerialKind::kPty:
      return OpenPtyChar(*loop_);
    case SerialKind::kNull:
      return OpenNullChar(*loop_);
  }
  return OpenNullChar(*loop_);
}

absl::Status Session::OpenConsoles() {
  if (serial_ == nullptr) {
    KVMLET_ASSIGN_OR_RETURN(serial_, OpenSerial());
  }
  serial_watch_.emplace(*serial_);
  if (!config_.console) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(terminal_, OpenTerminal());
  terminal_watch_.emplace(*terminal_);
  return absl::OkStatus();
}

absl::Status Session::OpenControl() {
  if (!config_.events.empty()) {
    KVMLET_ASSIGN_OR_RETURN(event_stream_,
                            EventStream::Create(*loop_, config_.events));
    events_.AddSink(*event_stream_);
  }
  if (!config_.qmp_path.empty()) {
    KVMLET_ASSIGN_OR_RETURN(
        qmp_, QmpServer::Create(*loop_, config_.qmp_path, registry_));
    events_.AddSink(*qmp_);
  }
  return absl::OkStatus();
}

Verdict Session::Run() {
  const auto start = Clock::now();
  ArmTimeouts();
  const absl::Status status = machine_->Start();
  if (status.ok()) {
    loop_->Run();
  } else {
    verdict_ = Verdict{.reason = VerdictReason::kInternalError,
                       .text = std::string(status.message())};
  }
  CloseConsoles();
  Verdict verdict = std::move(*verdict_);
  verdict.wall_seconds =
      std::chrono::duration<double>(Clock::now() - start).count();
  verdict.cpu_seconds = CpuSeconds();
  return verdict;
}

void Session::OnEnd(Verdict verdict) {
  if (verdict.reason == VerdictReason::kPanic && verdict.text.empty()) {
    verdict.text = serial_watch_->panic_line();
    if (verdict.text.empty() && terminal_watch_) {
      verdict.text = terminal_watch_->panic_line();
    }
  }
  if (config_.exit_code == ExitCode::kQemu) ApplyQemuExitCode(verdict);
  const bool crash = IsCrash(verdict.reason);
  const bool hang = IsHang(verdict.reason);
  if (crash || (hang && config_.on_hang.report)) {
    verdict.registers = machine_->RegistersText().value_or(std::string());
  }
  const std::string& core = config_.on_hang.dump_path;
  if ((crash || hang || machine_->held()) && !core.empty()) {
    const absl::Status status = machine_->DumpGuest(core, /*paging=*/true);
    if (status.ok()) verdict.core = core;
    if (!status.ok()) {
      Tell(absl::StrCat("kvmlet: --on-hang: ", status.message(), "\n"));
    }
  }
  verdict_ = std::move(verdict);
  loop_->Stop();
}

void Session::ApplyQemuExitCode(Verdict& verdict) const {
  verdict.doubled = true;
  const std::optional<uint32_t> printed = serial_watch_->exit_status();
  if (verdict.reason != VerdictReason::kPowerOff || !printed) return;
  // What is printed is doubled already.
  verdict.reason = VerdictReason::kExit;
  verdict.door = Door::kConsole;
  verdict.code = *printed >> 1;
}

void Session::OnReset() {
  const bool on_terminal = terminal_watch_ && terminal_watch_->panicked();
  if (!serial_watch_->panicked() && !on_terminal) return;
  machine_->EndWith({.reason = VerdictReason::kPanic, .door = Door::kConsole},
                    ShutdownCause::kGuestPanic);
}

// What the last boot printed says nothing about this one.
void Session::OnRestart() {
  serial_watch_->Forget();
  if (terminal_watch_) terminal_watch_->Forget();
}

void Session::OnSignal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) return;
  machine_->EndWith(
      {.reason = VerdictReason::kSignal,
       .code = info.ssi_signo,
       .text = absl::StrCat("SIG",
                            ::sigabbrev_np(static_cast<int>(info.ssi_signo)))},
      ShutdownCause::kHostSignal);
}

void Session::OnEscape(char key) {
  switch (key) {
    case 'x':
      return machine_->Quit();
    case 'c':
      return prompt_.Toggle();
    default:
      std::fputs(
          "\nCtrl-A x  end the guest\n"
          "Ctrl-A c  command prompt, and back\n"
          "Ctrl-A a  send Ctrl-A\n",
          stderr);
      return;
  }
}

void Session::ArmTimeouts() {
  if (config_.timeout) {
    const auto limit = *config_.timeout;
    loop_->RunAfter(limit, [this, limit] {
      TimeOut(VerdictReason::kTimeout,
              absl::StrFormat("the guest did not end within %g s",
                              std::chrono::duration<double>(limit).count()));
    });
  }
  if (config_.idle_timeout) CheckIdle();
}

void Session::CheckIdle() {
  auto last = serial_watch_->last_output();
  if (terminal_watch_) last = std::max(last, terminal_watch_->last_output());
  const auto limit = *config_.idle_timeout;
  const auto idle = Clock::now() - last;
  if (idle >= limit && machine_->run_state() == RunState::kRunning) {
    TimeOut(VerdictReason::kIdleTimeout,
            absl::StrFormat("the guest printed nothing for %g s",
                            std::chrono::duration<double>(limit).count()));
    return;
  }
  // While it is paused it cannot print: ask again later.
  const auto left =
      std::max<Clock::duration>(limit - idle, std::chrono::milliseconds(100));
  loop_->RunAfter(left, [this] { CheckIdle(); });
}

void Session::TimeOut(VerdictReason reason, std::string text) {
  machine_->EndHung({.reason = reason, .text = std::move(text)},
                    ShutdownCause::kHostError);
}

int RunVm(const VmConfig& config) {
  Verdict verdict;
  {
    absl::StatusOr<std::unique_ptr<Session>> session = Session::Create(config);
    if (session.ok()) {
      verdict = (*session)->Run();
    } else {
      const absl::string_view message = session.status().message();
      verdict.reason = VerdictReason::kNotStarted;
      verdict.code = static_cast<uint64_t>(ExitStatusFor(session.status()));
      verdict.text = std::string(message);
    }
  }
  if (verdict.reason == VerdictReason::kNotStarted) {
    std::fprintf(stderr, "kvmlet run: %s\n", verdict.text.c_str());
  }
  Report(verdict);
  if (config.verdict_path.empty()) return verdict.ExitStatus();
  const absl::Status status = verdict.Write(config.verdict_path);
  if (status.ok()) return verdict.ExitStatus();
  const std::string message(status.message());
  std::fprintf(stderr, "kvmlet run: %s\n", message.c_str());
  return ExitStatusFor(status);
}

}  // namespace kvmlet
