// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <charconv>

#include "arch/probe.h"
#include "vmm/cli/doctor.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::string Number(uint64_t value) { return std::to_string(value); }

bool Contains(const std::optional<std::string>& text, std::string_view word) {
  return text && text->find(word) != text->npos;
}

// The first number behind `label`, or at the start when it is empty.
uint64_t NumberAfter(const std::optional<std::string>& text,
                     std::string_view label) {
  if (!text) return 0;
  const size_t at = text->find(label);
  if (at == text->npos) return 0;
  std::string_view rest = std::string_view(*text).substr(at + label.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  uint64_t value = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value;
}

// A device node that kvmlet opens, and what it is for.
struct Node {
  const char* what;
  const char* path;
  const char* purpose;
  const char* absent;  // the remedies
  const char* denied;
  Level without;
  bool required;
};

Finding CheckNode(const Host& host, const Node& node) {
  const int error = host.TryOpen(node.path);
  if (error == 0) {
    return {Level::kOk, node.what, Cat({node.path, " opens: ", node.purpose}),
            "", node.required};
  }
  if (error == EACCES || error == EPERM) {
    return {node.without, node.what, Cat({node.path, " may not be opened"}),
            node.denied, node.required};
  }
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return {node.without, node.what, Cat({node.path, " does not exist"}),
            node.absent, node.required};
  }
  return {node.without, node.what,
          Cat({node.path, " does not open: ", strerrordesc_np(error)}),
          node.absent, node.required};
}

const char* KvmRemedy(const std::optional<std::string>& cpuinfo) {
  if (Contains(cpuinfo, " vmx")) return "modprobe kvm_intel";
  if (Contains(cpuinfo, " svm")) return "modprobe kvm_amd";
  if (Contains(cpuinfo, " hypervisor")) {
    return "this host is a guest: switch nested virtualisation on outside";
  }
  return "switch virtualisation on in the firmware, or use a kernel with KVM";
}

void CheckKvm(const Host& host, std::vector<Finding>& findings) {
  const std::string remedy = KvmRemedy(host.Read("/proc/cpuinfo"));
  const Finding device = CheckNode(
      host, {"kvm", "/dev/kvm", "guests run on the processor", remedy.c_str(),
             "join the group: usermod -aG kvm USER, then log in again",
             Level::kMissing, true});
  findings.push_back(device);
  if (device.level != Level::kOk) return;
  const absl::StatusOr<KvmFacts> facts = host.AskKvm();
  if (!facts.ok()) {
    findings.push_back({Level::kMissing, "kvm interface",
                        std::string(facts.status().message()),
                        "use a newer kernel", true});
    return;
  }
  for (const CapabilityFact& fact : facts->capabilities) {
    const Level without = fact.required ? Level::kMissing : Level::kWarn;
    findings.push_back({fact.present ? Level::kOk : without,
                        Cat({"kvm ", fact.name}), fact.meaning,
                        fact.present ? "" : fact.remedy, fact.required});
  }
  findings.push_back(
      {Level::kOk, "kvm vcpus",
       Cat({"at most ", Number(facts->max_vcpus), " vCPUs a guest"}), "",
       false});
}

void CheckNesting(const Host& host, std::vector<Finding>& findings) {
  if (!host.List("/sys/module/kvm_pvm").empty()) {
    findings.push_back({Level::kWarn, "kvm speed",
                        "this KVM is paravirtual and may emulate guest kernels",
                        "kvmlet doctor --probe measures it", false});
  } else if (Contains(host.Read("/proc/cpuinfo"), " hypervisor")) {
    findings.push_back({Level::kWarn, "nesting",
                        "this host is itself a guest; exits cost more",
                        "kvmlet doctor --probe measures it", false});
  }
}

void CheckHugePages(const Host& host, std::vector<Finding>& findings) {
  struct Pool {
    const char* what;
    std::string folder;
  };
  const std::string stem = "/sys/kernel/mm/hugepages/hugepages-";
  for (const Pool& pool : {Pool{"hugepages=2M", stem + "2048kB"},
                           Pool{"hugepages=1G", stem + "1048576kB"}}) {
    const uint64_t all =
        NumberAfter(host.Read(pool.folder + "/nr_hugepages"), "");
    const uint64_t free =
        NumberAfter(host.Read(pool.folder + "/free_hugepages"), "");
    Finding finding{Level::kOk, pool.what,
                    Cat({Number(free), " of ", Number(all), " pages are free"}),
                    "", false};
    if (free == 0) {
      finding.level = Level::kWarn;
      finding.remedy = Cat({"echo N > ", pool.folder, "/nr_hugepages"});
    }
    findings.push_back(finding);
  }
}

void CheckMemory(const Host& host, std::vector<Finding>& findings) {
  const uint64_t available =
      NumberAfter(host.Read("/proc/meminfo"), "MemAvailable:") / 1024;
  const bool enough = available >= 256;
  findings.push_back({enough ? Level::kOk : Level::kWarn, "memory",
                      Cat({Number(available), " MiB are available"}),
                      enough ? "" : "give guests less --memory", false});
  CheckHugePages(host, findings);
  // The file is there with CONFIG_MEMORY_FAILURE only.
  const bool survives =
      host.Read("/proc/sys/vm/memory_failure_early_kill").has_value();
  findings.push_back({survives ? Level::kOk : Level::kWarn, "memory errors",
                      survives ? "a page that breaks is taken out of use"
                               : "a page that breaks ends more than its user",
                      survives ? "" : "use a kernel with CONFIG_MEMORY_FAILURE",
                      false});
  const auto thp = host.Read("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool used = Contains(thp, "[always]") || Contains(thp, "[madvise]");
  findings.push_back(
      {used ? Level::kOk : Level::kWarn, "transparent pages",
       used ? "the kernel backs guests with huge pages when it can"
            : "the kernel backs guests with small pages only",
       used ? "" : "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
       false});
  const uint64_t limit = host.LockLimit();
  const bool low = limit < 64 * kMiB;
  findings.push_back(
      {low ? Level::kWarn : Level::kOk, "locked memory",
       limit == UINT64_MAX ? "no limit"
                           : Cat({Number(limit / kMiB), " MiB a process"}),
       low ? "ulimit -l unlimited, or memlock in /etc/security/limits.conf: "
             "passing devices through locks all of a guest's memory"
           : "",
       false});
}

void CheckIoUring(const Host& host, std::vector<Finding>& findings) {
  const int error = host.TryIoUring();
  Finding finding{Level::kOk, "io_uring", "disks use it", "", false};
  if (error != 0) {
    finding.level = Level::kWarn;
    finding.detail = "not allowed here; disks use slower system calls";
    finding.remedy = error == ENOSYS ? "use a kernel with io_uring"
                                     : "sysctl kernel.io_uring_disabled=0, or "
                                       "relax the container's seccomp filter";
  }
  findings.push_back(finding);
}

void CheckDevices(const Host& host, std::vector<Finding>& findings) {
  constexpr Node kNodes[] = {
      {"tap", "/dev/net/tun", "--net tap=NAME", "modprobe tun",
       "create the tap for this user (ip tuntap add NAME mode tap user USER), "
       "or use --net passt",
       Level::kWarn, false},
      {"vhost-net", "/dev/vhost-net", "the kernel moves a tap's frames",
       "modprobe vhost_net, or do without: vhost=off",
       "join the group that owns it, or do without: vhost=off", Level::kWarn,
       false},
      {"vhost-vsock", "/dev/vhost-vsock", "--vsock", "modprobe vhost_vsock",
       "join the group that owns it", Level::kWarn, false},
      {"vfio", "/dev/vfio/vfio", "devices can be passed through",
       "modprobe vfio-pci", "join the group that owns it", Level::kWarn, false},
  };
  CheckIoUring(host, findings);
  for (const Node& node : kNodes) findings.push_back(CheckNode(host, node));
  const size_t groups = host.List("/sys/kernel/iommu_groups").size();
  findings.push_back({groups == 0 ? Level::kWarn : Level::kOk, "iommu",
                      Cat({Number(groups), " groups of devices"}),
                      groups == 0
                          ? Cat({arch::IommuRemedy(),
                                 "; only passing devices through needs it"})
                          : "",
                      false});
  const bool passt = host.HasProgram("passt");
  findings.push_back({passt ? Level::kOk : Level::kWarn, "passt",
                      passt ? "--net passt" : "not installed",
                      passt ? "" : "install the package passt", false});
}

}  // namespace

std::vector<Finding> Examine(const Host& host) {
  std::vector<Finding> findings;
  CheckKvm(host, findings);
  CheckNesting(host, findings);
  CheckMemory(host, findings);
  CheckDevices(host, findings);
  return findings;
}

}  // namespace kvmlet::cli
