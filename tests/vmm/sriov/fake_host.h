// SPDX-License-Identifier: Apache-2.0
// A folder that looks like the sysfs of a host with a physical function on
// vfio-pci and two virtual ones. What is written to its files is kept, and has
// no effect. For the tests of vmm/sriov; one thread.
#ifndef KVMLET_TESTS_VMM_SRIOV_FAKE_HOST_H_
#define KVMLET_TESTS_VMM_SRIOV_FAKE_HOST_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "devices/vfio/sysfs.h"

namespace kvmlet::sriov {

class FakeHost {
 public:
  static constexpr char kPf[] = "0000:01:00.0";

  FakeHost() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/bus/pci/drivers/vfio-pci");
    std::filesystem::create_directories(root_ + "/bus/pci/drivers/igb");
    Write("bus/pci/drivers_probe", "");
    Add(kPf, 6);
    Add("0000:01:10.0", 7);
    Add("0000:01:10.2", 8);
    Write(Of(kPf) + "/sriov_totalvfs", "7\n");
    Write(Of(kPf) + "/sriov_numvfs", "2\n");
    LinkVf(0, "0000:01:10.0");
    LinkVf(1, "0000:01:10.2");
  }

  ~FakeHost() { std::filesystem::remove_all(root_); }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  vfio::HostPaths paths() const {
    return {.sys = root_, .dev = "/dev", .proc = root_ + "/proc"};
  }
  vfio::DeviceFacts Facts(const std::string& bdf = kPf) const {
    return *vfio::ReadFacts(paths(), bdf);
  }
  static std::string Of(const std::string& bdf) {
    return "bus/pci/devices/" + bdf;
  }
  void Write(const std::string& path, const std::string& text) const {
    std::ofstream(root_ + "/" + path) << text;
  }
  std::string Read(const std::string& path) const {
    std::ifstream file(root_ + "/" + path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void SetDriver(const std::string& bdf, const std::string& driver) const {
    const std::string link = root_ + "/" + Of(bdf) + "/driver";
    std::filesystem::remove(link);
    if (driver.empty()) return;
    std::filesystem::create_symlink("../../drivers/" + driver, link);
  }
  // A process that has this file open.
  void Hold(const std::string& file) const {
    std::filesystem::create_directories(root_ + "/proc/4711/fd");
    Write("proc/4711/comm", "kvmlet\n");
    std::filesystem::create_symlink(file, root_ + "/proc/4711/fd/5");
  }
  const std::string& root() const { return root_; }

 private:
  void Add(const std::string& bdf, int group) const {
    const std::string number = std::to_string(group);
    std::filesystem::create_directories(root_ + "/" + Of(bdf));
    std::filesystem::create_directories(root_ + "/kernel/iommu_groups/" +
                                        number + "/devices/" + bdf);
    std::filesystem::create_symlink("../../../../kernel/iommu_groups/" + number,
                                    root_ + "/" + Of(bdf) + "/iommu_group");
    Write(Of(bdf) + "/driver_override", "");
    SetDriver(bdf, "vfio-pci");
  }
  void LinkVf(int index, const std::string& bdf) const {
    const std::string number = std::to_string(index);
    std::filesystem::create_symlink("../" + bdf,
                                    root_ + "/" + Of(kPf) + "/virtfn" + number);
    std::filesystem::create_symlink(std::string("../") + kPf,
                                    root_ + "/" + Of(bdf) + "/physfn");
  }

  const std::string root_ =
      ::testing::TempDir() + "/sriov-host-" + std::to_string(::getpid());
};

}  // namespace kvmlet::sriov

#endif  // KVMLET_TESTS_VMM_SRIOV_FAKE_HOST_H_
