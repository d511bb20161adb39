// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/passt.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/backend/stream_port.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// In the child; any number above the standard ones will do.
constexpr int kChildSocket = 3;
constexpr int kChildErrors = 4;
constexpr int kExitMilliseconds = 2000;

// The child between fork and exec: only async-signal-safe calls. An error
// goes back through the pipe, which a successful exec closes.
[[noreturn]] void RunChild(int socket, int errors, pid_t parent,
                           const char* program, char* const* arguments) {
  // Away from the terminal's process group: Ctrl-C is for the monitor, which
  // then ends this child in order.
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Both descriptors may lie anywhere, even at each other's target.
  const int socket_copy = ::fcntl(socket, F_DUPFD, kChildErrors + 1);
  const int errors_copy = ::fcntl(errors, F_DUPFD, kChildErrors + 1);
  const int null = ::open("/dev/null", O_RDWR);
  if (socket_copy >= 0 && errors_copy >= 0 && null >= 0 &&
      ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(null, STDOUT_FILENO) >= 0 &&
      ::dup2(socket_copy, kChildSocket) >= 0 &&
      ::dup3(errors_copy, kChildErrors, O_CLOEXEC) >= 0) {
    ::close_range(kChildErrors + 1, ~0u, 0);
    ::execvp(program, arguments);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t n =
      ::write(kChildErrors, &error, sizeof(error));
  ::_exit(127);
}

class PasstBackend : public NetBackend {
 public:
  PasstBackend(pid_t pid, UniqueFd socket)
      : pid_(pid),
        port_(std::make_unique<StreamPort>(std::move(socket), "passt")) {}
  ~PasstBackend() override {
    // The end of its connection is the end of passt.
    port_.reset();
    const UniqueFd child(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0u)));
    pollfd p{.fd = child.get(), .events = POLLIN, .revents = 0};
    int result = 0;
    do {
      result = child.ok() ? ::poll(&p, 1, kExitMilliseconds) : 0;
    } while (result < 0 && errno == EINTR);
    if (result <= 0) ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  std::string_view name() const override { return "passt"; }
  uint16_t port_count() const override { return 1; }
  NetPort& port(uint16_t /*index*/) override { return *port_; }

 private:
  pid_t pid_;
  std::unique_ptr<StreamPort> port_;
};

std::vector<std::string> Arguments(const std::string& program) {
  std::vector<std::string> arguments{program, "--foreground", "--quiet", "--fd",
                                     absl::StrCat(kChildSocket)};
  if (::geteuid() == 0) {
    // passt never runs as root; naming "nobody" keeps it from saying so.
    arguments.insert(arguments.end(), {"--runas", "65534:65534"});
  }
  return arguments;
}

absl::Status ExecError(int error, const std::string& program) {
  if (error == ENOENT) {
    return WithExitStatus(
        absl::NotFoundError(
            "--net passt: passt is not installed (apt-get install passt)"),
        ExitStatus::kHostLacks);
  }
  return OsRefused(error, absl::StrCat("--net passt: run ", program));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetBackend>> OpenPasst(
    const std::string& program) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return OsRefused(errno, "--net passt: socketpair");
  }
  UniqueFd ours(sockets[0]);
  UniqueFd theirs(sockets[1]);
  int pipes[2];
  if (::pipe2(pipes, O_CLOEXEC) != 0) {
    return OsRefused(errno, "--net passt: pipe2");
  }
  UniqueFd errors(pipes[0]);
  UniqueFd child_errors(pipes[1]);
  std::vector<std::string> arguments = Arguments(program);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return OsRefused(errno, "--net passt: fork");
  if (pid == 0) {
    RunChild(theirs.get(), child_errors.get(), parent, program.c_str(),
             argv.data());
  }
  theirs.Reset();
  child_errors.Reset();
  // From here on the backend ends and reaps the child.
  auto backend = std::make_unique<PasstBackend>(pid, std::move(ours));
  int error = 0;
  ssize_t n = 0;
  do {
    n = ::read(errors.get(), &error, sizeof(error));
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof(error))) {
    return ExecError(error, program);
  }
  return backend;
}

}  // namespace kvmlet
