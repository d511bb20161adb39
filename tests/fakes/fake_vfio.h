// SPDX-License-Identifier: Apache-2.0
// A host kernel with VFIO for tests: files, groups, a container, IOMMUFD, and
// devices with configuration space, BARs, interrupts and VF tokens, after the
// rules of drivers/vfio. Its descriptors are real ones, of memory files, so
// that closing them works. Not thread-safe.
#ifndef KVMLET_TESTS_FAKES_FAKE_VFIO_H_
#define KVMLET_TESTS_FAKES_FAKE_VFIO_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/vfio/host_calls.h"
#include "devices/vfio/sysfs.h"
#include "devices/vfio/token.h"
#include "vmm/bus/assigned_files.h"
#include "vmm/bus/guest_mapper.h"

namespace kvmlet::fakes {

using Uuid = std::array<uint8_t, 16>;

struct FakeDevice {
  std::string bdf;
  uint32_t group = 0;
  std::string cdev;
  std::vector<std::byte> config = std::vector<std::byte>(4096);
  std::array<std::vector<std::byte>, 6> bars;
  // Of a BAR that is larger than the bytes it has; 0 for those of the bytes.
  std::array<uint64_t, 6> bar_sizes{};
  std::array<bool, 6> mappable{};
  std::vector<std::byte> rom;
  int rom_reads = 0;
  std::array<uint32_t, 5> irq_counts{};
  bool no_resize = false;
  uint32_t vectors_left = 4096;  // of the host
  // What SET_IRQS has set: eventfds by index.
  std::map<uint32_t, std::vector<int>> irqs;
  int unmask_fd = -1;
  int irq_requests = 0;
  bool can_reset = true;  // alone
  int resets = 0;
  int hot_resets = 0;  // with its slot
  bool gone = false;
  // VF tokens: whose function it is, and the physical function's secret.
  FakeDevice* pf = nullptr;
  bool is_pf = false;
  Uuid token{};
  int users = 0;  // open virtual functions
  // Called before a configuration write takes effect.
  std::function<void(uint64_t, std::span<const std::byte>)> on_config_write;

  void SetConfig(size_t at, uint64_t value, size_t bytes);
  uint64_t GetConfig(size_t at, size_t bytes) const;
  // The BARs by number, 6 is the ROM and 7 the configuration.
  const std::vector<std::byte>& Region(uint64_t index) const;
};

class FakeVfio : public vfio::HostCalls, public AssignedFiles {
 public:
  FakeDevice& AddDevice(std::string bdf, uint32_t group);
  // A function with MSI-X (3 vectors in BAR 3), MSI, power management,
  // PCI Express, and some extended capabilities that guests must not see.
  FakeDevice& AddNetwork(std::string bdf, uint32_t group);
  vfio::DeviceFacts FactsOf(const FakeDevice& device) const;

  // The next request of this number answers -error, this many times.
  void Fail(unsigned long request, int error, int times = 1);
  // Everything that was asked, by name: "SET_IOMMU", "MAP 0x1000", ...
  const std::vector<std::string>& log() const { return log_; }
  int CountOf(std::string_view prefix) const;
  size_t mapped() const { return maps_.size(); }
  std::string last_name;  // of GET_DEVICE_FD, token and all
  uint64_t iova_limit = UINT64_MAX;
  bool slots_owned = true;      // what iommufd says of all functions of a slot
  size_t map_limit = SIZE_MAX;  // mappings of the container, or IOAS

  int Open(const std::string& path) override;
  int Ioctl(int fd, unsigned long request, uintptr_t argument) override;
  ssize_t Read(int fd, std::span<std::byte> data, uint64_t offset) override;
  ssize_t Write(int fd, std::span<const std::byte> data,
                uint64_t offset) override;
  int MapOver(void* at, size_t size, int protection, int fd,
              uint64_t offset) override;
  // AssignedFiles.
  absl::Status Add(int fd) override;
  absl::Status Remove(int fd) override;
  int files() const { return files_; }

 private:
  enum class Kind { kContainer, kGroup, kDevice, kIommu };
  struct File {
    Kind kind;
    uint32_t group = 0;
    FakeDevice* device = nullptr;
    int container = -1;  // a group's
    int groups = 0;      // in a container
    bool iommu = false;  // a container's
  };
  int MakeFile(const File& file);
  int ContainerCall(File& file, unsigned long request, uintptr_t argument);
  int GroupCall(File& file, unsigned long request, uintptr_t argument);
  int IommuCall(unsigned long request, uintptr_t argument);
  int DeviceCall(FakeDevice& device, unsigned long request, uintptr_t argument);
  int GetDevice(const File& group, const char* name);
  int CheckToken(FakeDevice& device, const std::optional<Uuid>& token);
  int DescribeRegion(const FakeDevice& device, uintptr_t argument);
  std::vector<FakeDevice*> SlotOf(const FakeDevice& device) const;
  int DescribeHotReset(const FakeDevice& device, uintptr_t argument);
  int HotReset(const FakeDevice& device, uintptr_t argument);
  int SetIrqs(FakeDevice& device, uintptr_t argument);
  int Map(uint64_t iova, uint64_t size);
  int64_t Unmap(uint64_t iova, uint64_t size);

  std::vector<std::unique_ptr<FakeDevice>> devices_;
  std::map<int, File> files_by_fd_;
  std::map<unsigned long, std::vector<int>> failures_;
  std::vector<std::string> log_;
  std::map<uint64_t, uint64_t> maps_;
  int files_ = 0;
  bool opened_by_group_ = false;
};

// Remembers what the guest can reach.
class FakeMapper : public GuestMapper {
 public:
  absl::StatusOr<uint32_t> MapHost(uint64_t guest, uint64_t size,
                                   const void* host) override;
  absl::Status UnmapHost(uint32_t mapping) override;
  // Guest address to size, of everything that is mapped.
  std::map<uint64_t, uint64_t> Mapped() const;
  size_t limit = SIZE_MAX;                // slots that there can be
  std::map<uint64_t, const void*> hosts;  // by guest address, all ever mapped

 private:
  std::map<uint32_t, std::pair<uint64_t, uint64_t>> slots_;
  uint32_t next_ = 1;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_VFIO_H_
