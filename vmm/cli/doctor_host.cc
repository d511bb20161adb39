// SPDX-License-Identifier: Apache-2.0
// The Host that is this machine.
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "arch/probe.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/text.h"
#include "vmm/kvm/kvm_system.h"

namespace kvmlet::cli {
namespace {

constexpr std::chrono::milliseconds kProbeBudget{1000};

// What kvmlet asks of KVM on every instruction set.
constexpr arch::KvmCapability kCommonCapabilities[] = {
    {KVM_CAP_USER_MEMORY, "USER_MEMORY", "the guest has memory", true},
    {KVM_CAP_IRQCHIP, "IRQCHIP", "interrupt controller in the kernel", true},
    {KVM_CAP_IRQFD, "IRQFD", "devices interrupt without a system call", true},
    {KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING", "message-signalled interrupts", true},
    {KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", "message-signalled interrupts", true},
    {KVM_CAP_IOEVENTFD, "IOEVENTFD", "doorbells without an exit", true},
    {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", "vCPUs can be stopped", true},
    {KVM_CAP_READONLY_MEM, "READONLY_MEM", "read-only memory", false},
    {KVM_CAP_SET_GUEST_DEBUG, "SET_GUEST_DEBUG", "debugging a guest", false},
    {KVM_CAP_BINARY_STATS_FD, "BINARY_STATS_FD", "counters of the guest",
     false},
    {KVM_CAP_STEAL_TIME, "STEAL_TIME",
     "a guest knows how long the host let it wait", false,
     "use Linux 5.10 or newer with CONFIG_SCHED_INFO"},
};

class SystemHost : public Host {
 public:
  int TryOpen(const std::string& path) const override {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    return fd.ok() ? 0 : errno;
  }

  std::optional<std::string> Read(const std::string& path) const override {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.ok()) return std::nullopt;
    // Enough for the first processors of /proc/cpuinfo, which are all alike.
    std::string text(16384, '\0');
    const ssize_t got = ::read(fd.get(), text.data(), text.size());
    if (got < 0) return std::nullopt;
    text.resize(static_cast<size_t>(got));
    return text;
  }

  std::vector<std::string> List(const std::string& path) const override {
    std::vector<std::string> names;
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr) return names;
    while (const dirent* entry = ::readdir(folder)) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    ::closedir(folder);
    return names;
  }

  bool HasProgram(const std::string& name) const override {
    const char* path = ::getenv("PATH");
    std::string_view rest = path == nullptr ? "" : path;
    while (!rest.empty()) {
      const size_t colon = std::min(rest.find(':'), rest.size());
      const std::string file = Cat({rest.substr(0, colon), "/", name});
      if (::access(file.c_str(), X_OK) == 0) return true;
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
    return false;
  }

  int TryIoUring() const override {
    io_uring_params params = {};
    const UniqueFd ring(
        static_cast<int>(::syscall(SYS_io_uring_setup, 1, &params)));
    return ring.ok() ? 0 : errno;
  }

  uint64_t LockLimit() const override {
    rlimit limit = {};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
  }

  absl::StatusOr<KvmFacts> AskKvm() const override {
    KVMLET_ASSIGN_OR_RETURN(const KvmSystem kvm, KvmSystem::Open());
    KvmFacts facts;
    facts.max_vcpus = kvm.max_vcpus();
    const auto ask = [&](std::span<const arch::KvmCapability> capabilities) {
      for (const arch::KvmCapability& capability : capabilities) {
        facts.capabilities.push_back(
            {capability.name, capability.meaning, capability.required,
             kvm.CheckExtension(capability.number) > 0, capability.remedy});
      }
    };
    ask(kCommonCapabilities);
    ask(arch::SpecificCapabilities());
    return facts;
  }

  absl::StatusOr<double> GuestInstructionsPerSecond() const override {
    KVMLET_ASSIGN_OR_RETURN(const KvmSystem kvm, KvmSystem::Open());
    return arch::GuestInstructionsPerSecond(kvm, kProbeBudget);
  }
};

}  // namespace

std::unique_ptr<Host> ThisHost() { return std::make_unique<SystemHost>(); }

}  // namespace kvmlet::cli
