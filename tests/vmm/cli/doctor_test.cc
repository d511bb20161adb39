// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>

#include "arch/probe.h"

namespace kvmlet::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A host on which everything is as it should be, until a test spoils it.
class FakeHost : public Host {
 public:
  int TryOpen(const std::string& path) const override {
    const auto found = nodes.find(path);
    return found == nodes.end() ? 0 : found->second;
  }
  std::optional<std::string> Read(const std::string& path) const override {
    const auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  }
  std::vector<std::string> List(const std::string& path) const override {
    const auto found = folders.find(path);
    if (found == folders.end()) return {};
    return found->second;
  }
  bool HasProgram(const std::string&) const override { return passt; }
  int TryIoUring() const override { return io_uring; }
  uint64_t LockLimit() const override { return lock_limit; }
  absl::StatusOr<KvmFacts> AskKvm() const override { return facts; }
  absl::StatusOr<double> GuestInstructionsPerSecond() const override {
    return speed;
  }

  std::map<std::string, int> nodes;  // errno of opening it
  std::map<std::string, std::string> files = {
      {"/proc/cpuinfo", "flags : fpu vmx sse\n"},
      {"/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:  8388608 kB\n"},
      {"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n"},
      {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "60\n"},
      {"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "2\n"},
      {"/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n"},
      {"/proc/sys/vm/memory_failure_early_kill", "0\n"},
      {"/sys/kernel/mm/transparent_hugepage/enabled",
       "always [madvise] never\n"}};
  std::map<std::string, std::vector<std::string>> folders = {
      {"/sys/kernel/iommu_groups", {"0", "1"}}};
  bool passt = true;
  int io_uring = 0;
  uint64_t lock_limit = UINT64_MAX;
  absl::StatusOr<KvmFacts> facts =
      KvmFacts{{{"IRQFD", "interrupts", true, true},
                {"READONLY_MEM", "read-only memory", false, true}},
               1024};
  absl::StatusOr<double> speed = 2e9;
};

DoctorReport Report(const FakeHost& host, std::vector<std::string> args) {
  return RunDoctor(host, *WalkArgs("doctor", DoctorFlags(), args));
}

// The line that begins with "level what".
std::string LineOf(const FakeHost& host, const std::string& what) {
  const std::string text = Report(host, {}).text;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    if (line.size() > 9 && line.substr(9).starts_with(what + " ")) return line;
    at = end + 1;
  }
  return "no line";
}

TEST(DoctorTest, AHealthyHostHasNothingToDo) {
  const DoctorReport report = Report(FakeHost(), {});
  EXPECT_EQ(report.exit_status, 0);
  EXPECT_THAT(report.text, Not(HasSubstr("missing")));
  EXPECT_THAT(report.text, Not(HasSubstr("warn")));
  EXPECT_THAT(report.text, HasSubstr("guests can run on this host"));
}

TEST(DoctorTest, WithoutKvmNoGuestRuns) {
  FakeHost host;
  host.nodes["/dev/kvm"] = ENOENT;
  EXPECT_EQ(Report(host, {}).exit_status, 69);
  EXPECT_THAT(LineOf(host, "kvm"), HasSubstr("(modprobe kvm_intel)"));
}

TEST(DoctorTest, TheRemedyFitsTheProcessor) {
  FakeHost host;
  host.nodes["/dev/kvm"] = ENOENT;
  host.files["/proc/cpuinfo"] = "flags : fpu svm\n";
  EXPECT_THAT(LineOf(host, "kvm"), HasSubstr("modprobe kvm_amd"));
  host.files["/proc/cpuinfo"] = "flags : fpu hypervisor\n";
  EXPECT_THAT(LineOf(host, "kvm"), HasSubstr("nested virtualisation"));
  host.files.erase("/proc/cpuinfo");
  EXPECT_THAT(LineOf(host, "kvm"), HasSubstr("firmware"));
}

TEST(DoctorTest, APermissionIsCuredByTheGroup) {
  FakeHost host;
  host.nodes["/dev/kvm"] = EACCES;
  EXPECT_EQ(Report(host, {}).exit_status, 69);
  EXPECT_THAT(LineOf(host, "kvm"), HasSubstr("usermod -aG kvm"));
}

TEST(DoctorTest, AnOldKvmIsReported) {
  FakeHost host;
  host.facts = absl::UnavailableError("not a KVM of API version 12");
  EXPECT_EQ(Report(host, {}).exit_status, 69);
  EXPECT_THAT(LineOf(host, "kvm interface"), HasSubstr("API version 12"));
}

TEST(DoctorTest, ARequiredCapabilityIsMissing) {
  FakeHost host;
  host.facts->capabilities[0].present = false;
  EXPECT_EQ(Report(host, {}).exit_status, 69);
  EXPECT_THAT(LineOf(host, "kvm IRQFD"), HasSubstr("missing"));
}

TEST(DoctorTest, AnOptionalCapabilityIsAWarning) {
  FakeHost host;
  host.facts->capabilities[1].present = false;
  host.facts->capabilities[1].remedy = "another processor";
  EXPECT_EQ(Report(host, {}).exit_status, 0);
  EXPECT_THAT(LineOf(host, "kvm READONLY_MEM"), HasSubstr("warn"));
  EXPECT_THAT(LineOf(host, "kvm READONLY_MEM"), HasSubstr("another processor"));
}

TEST(DoctorTest, NestingAndParavirtualKvmAreMentioned) {
  FakeHost host;
  host.files["/proc/cpuinfo"] = "flags : fpu vmx hypervisor\n";
  EXPECT_THAT(LineOf(host, "nesting"), HasSubstr("itself a guest"));
  host.folders["/sys/module/kvm_pvm"] = {"parameters"};
  EXPECT_THAT(LineOf(host, "kvm speed"), HasSubstr("doctor --probe"));
}

TEST(DoctorTest, AKernelThatCannotSetBrokenPagesAsideIsAWarning) {
  FakeHost host;
  EXPECT_THAT(LineOf(host, "memory errors"), HasSubstr("ok"));
  host.files.erase("/proc/sys/vm/memory_failure_early_kill");
  EXPECT_EQ(Report(host, {}).exit_status, 0);
  EXPECT_THAT(LineOf(host, "memory errors"),
              HasSubstr("CONFIG_MEMORY_FAILURE"));
}

TEST(DoctorTest, WhatOnlySomeFlagsNeedIsAWarning) {
  FakeHost host;
  host.nodes = {{"/dev/net/tun", EACCES},
                {"/dev/vhost-net", ENOENT},
                {"/dev/vhost-vsock", ENOENT},
                {"/dev/vfio/vfio", EBUSY}};
  host.folders.clear();
  host.files.clear();
  host.passt = false;
  host.io_uring = EPERM;
  host.lock_limit = 8 << 20;
  EXPECT_EQ(Report(host, {}).exit_status, 0);
  EXPECT_THAT(LineOf(host, "tap"), HasSubstr("ip tuntap"));
  EXPECT_THAT(LineOf(host, "vhost-net"), HasSubstr("modprobe vhost_net"));
  EXPECT_THAT(LineOf(host, "vhost-vsock"), HasSubstr("modprobe vhost_vsock"));
  EXPECT_THAT(LineOf(host, "vfio"), HasSubstr("busy"));
  EXPECT_THAT(LineOf(host, "iommu"), HasSubstr(arch::IommuRemedy()));
  EXPECT_THAT(LineOf(host, "passt"), HasSubstr("install"));
  EXPECT_THAT(LineOf(host, "io_uring"), HasSubstr("io_uring_disabled"));
  EXPECT_THAT(LineOf(host, "locked memory"), HasSubstr("8 MiB"));
  EXPECT_THAT(LineOf(host, "hugepages=2M"), HasSubstr("nr_hugepages"));
  EXPECT_THAT(LineOf(host, "transparent pages"), HasSubstr("warn"));
  EXPECT_THAT(LineOf(host, "memory"), HasSubstr("0 MiB"));
}

TEST(DoctorTest, AKernelWithoutIoUringHasAnotherRemedy) {
  FakeHost host;
  host.io_uring = ENOSYS;
  EXPECT_THAT(LineOf(host, "io_uring"), HasSubstr("kernel with io_uring"));
}

TEST(DoctorTest, JsonSaysTheSame) {
  FakeHost host;
  host.nodes["/dev/kvm"] = ENOENT;
  host.facts->capabilities[0].name = "\xff broken \"quote\"";
  const DoctorReport report = Report(host, {"--json"});
  const auto json = nlohmann::json::parse(report.text, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["usable"], false);
  EXPECT_EQ(json["checks"][0]["what"], "kvm");
  EXPECT_EQ(json["checks"][0]["level"], "missing");
  EXPECT_EQ(json["checks"][0]["required"], true);
  EXPECT_EQ(report.exit_status, 69);
}

TEST(DoctorProbeTest, FullSpeedIsStatusZero) {
  const DoctorReport report = Report(FakeHost(), {"--probe"});
  EXPECT_EQ(report.exit_status, 0);
  EXPECT_EQ(report.text,
            "KVM runs guest code at full speed, 2000 million instructions a "
            "second\n");
}

TEST(DoctorProbeTest, TheLineIsAHundredMillion) {
  FakeHost host;
  host.speed = 1e8;
  EXPECT_EQ(Report(host, {"--probe"}).exit_status, 0);
  host.speed = 0.99e8;
  EXPECT_EQ(Report(host, {"--probe"}).exit_status, 69);
}

TEST(DoctorProbeTest, AnEmulatedKernelIsStatus69) {
  FakeHost host;
  host.speed = 1.75e6;
  const DoctorReport report = Report(host, {"--probe"});
  EXPECT_EQ(report.exit_status, 69);
  EXPECT_THAT(report.text, HasSubstr("2 million instructions a second"));
}

TEST(DoctorProbeTest, NoKvmIsStatus69) {
  FakeHost host;
  host.speed = absl::UnavailableError("/dev/kvm does not exist");
  const DoctorReport report = Report(host, {"--probe", "--json"});
  EXPECT_EQ(report.exit_status, 69);
  const auto json = nlohmann::json::parse(report.text, nullptr, false);
  EXPECT_EQ(json["usable"], false);
  EXPECT_EQ(json["instructions_per_second"], 0.0);
  EXPECT_THAT(std::string(json["detail"]), HasSubstr("does not exist"));
}

TEST(DoctorTest, ThisHostCanBeExamined) {
  const std::unique_ptr<Host> host = ThisHost();
  EXPECT_THAT(Examine(*host), Not(testing::IsEmpty()));
}

}  // namespace
}  // namespace kvmlet::cli
