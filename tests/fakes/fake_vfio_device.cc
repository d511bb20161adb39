// SPDX-License-Identifier: Apache-2.0
// The devices of the fake VFIO: regions, interrupts, reset, tokens.
#include <linux/vfio.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/vfio/uapi.h"
#include "tests/fakes/fake_vfio.h"

namespace kvmlet::fakes {
namespace {

constexpr uint64_t kRegionShift = 40;

template <typename T>
T Take(uintptr_t argument) {
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(argument), sizeof value);
  return value;
}
template <typename T>
void Give(uintptr_t argument, const T& value) {
  std::memcpy(reinterpret_cast<void*>(argument), &value, sizeof value);
}

}  // namespace

void FakeDevice::SetConfig(size_t at, uint64_t value, size_t bytes) {
  std::memcpy(config.data() + at, &value, bytes);
}

uint64_t FakeDevice::GetConfig(size_t at, size_t bytes) const {
  uint64_t value = 0;
  std::memcpy(&value, config.data() + at, bytes);
  return value;
}

const std::vector<std::byte>& FakeDevice::Region(uint64_t index) const {
  if (index == 6) return rom;
  return index == 7 ? config : bars.at(index);
}

FakeDevice& FakeVfio::AddDevice(std::string bdf, uint32_t group) {
  devices_.push_back(std::make_unique<FakeDevice>());
  FakeDevice& device = *devices_.back();
  device.bdf = std::move(bdf);
  device.group = group;
  device.cdev = absl::StrCat("vfio", devices_.size() - 1);
  device.SetConfig(0, 0x10ca8086, 4);
  return device;
}

FakeDevice& FakeVfio::AddNetwork(std::string bdf, uint32_t group) {
  FakeDevice& d = AddDevice(std::move(bdf), group);
  d.SetConfig(0x06, 0x0010, 2);      // a capability list
  d.SetConfig(0x0e, 0x80, 1);        // says that it has siblings
  d.SetConfig(0x10, 0x0000000c, 4);  // BAR 0: 64 bits, prefetchable
  d.SetConfig(0x1c, 0x00000000, 4);  // BAR 3: 32 bits
  d.SetConfig(0x34, 0x40, 1);
  d.SetConfig(0x3d, 1, 1);            // INTA#
  d.SetConfig(0x40, 0x5001, 2);       // power management
  d.SetConfig(0x50, 0x01847005, 4);   // MSI: 64 bits, maskable, 4 vectors
  d.SetConfig(0x70, 0x0002a011, 4);   // MSI-X: 3 vectors
  d.SetConfig(0x74, 0x00000003, 4);   // table in BAR 3 at 0
  d.SetConfig(0x78, 0x00002003, 4);   // pending bits at 0x2000
  d.SetConfig(0xa0, 0x0002e010, 4);   // PCI Express, endpoint, version 2
  d.SetConfig(0xac, 0x12345678, 4);   // link capabilities
  d.SetConfig(0xe0, 0x0014, 2);       // enhanced allocation: not for guests
  d.SetConfig(0x100, 0x14010001, 4);  // AER, next 0x140
  d.SetConfig(0x140, 0x1600000e, 4);  // ARI, next 0x160
  d.SetConfig(0x144, 0xdeadbeef, 4);
  d.SetConfig(0x160, 0x1c010010, 4);  // SR-IOV, next 0x1c0
  d.SetConfig(0x184, 0xfe000000, 4);  // a host's address
  d.SetConfig(0x1c0, 0x00010003, 4);  // serial number
  d.bars[0].resize(0x4000);
  d.bars[3].resize(0x4000);
  d.mappable = {true, false, false, true, false, false};
  d.irq_counts = {1, 4, 3, 1, 1};
  return d;
}

int FakeVfio::DescribeRegion(const FakeDevice& device, uintptr_t argument) {
  auto info = Take<vfio_region_info>(argument);
  if (info.index > 7) return -EINVAL;
  info.offset = uint64_t{info.index} << kRegionShift;
  info.size = device.Region(info.index).size();
  if (info.index < 6 && device.bar_sizes[info.index] != 0) {
    info.size = device.bar_sizes[info.index];
  }
  info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  if (info.index < 6 && device.mappable[info.index]) {
    info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
  }
  Give(argument, info);
  return 0;
}

int FakeVfio::DeviceCall(FakeDevice& device, unsigned long request,
                         uintptr_t argument) {
  switch (request) {
    case VFIO_DEVICE_GET_INFO: {
      auto info = Take<vfio_device_info>(argument);
      info.flags = VFIO_DEVICE_FLAGS_PCI;
      if (device.can_reset) info.flags |= VFIO_DEVICE_FLAGS_RESET;
      info.num_regions = 9;
      info.num_irqs = 5;
      Give(argument, info);
      return 0;
    }
    case VFIO_DEVICE_GET_REGION_INFO:
      return DescribeRegion(device, argument);
    case VFIO_DEVICE_GET_IRQ_INFO: {
      auto info = Take<vfio_irq_info>(argument);
      info.count = device.irq_counts.at(info.index);
      info.flags = VFIO_IRQ_INFO_EVENTFD;
      if (device.no_resize) info.flags |= VFIO_IRQ_INFO_NORESIZE;
      Give(argument, info);
      return 0;
    }
    case VFIO_DEVICE_SET_IRQS:
      return SetIrqs(device, argument);
    case VFIO_DEVICE_RESET:
      ++device.resets;
      device.SetConfig(0x44, device.GetConfig(0x44, 1) & ~3u, 1);  // awake
      return device.can_reset ? 0 : -EINVAL;
    case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
      return DescribeHotReset(device, argument);
    case VFIO_DEVICE_PCI_HOT_RESET:
      return HotReset(device, argument);
    case vfio::kBindIommufd: {
      const auto head = Take<std::array<uint32_t, 2>>(argument);
      log_.push_back(absl::StrCat("BIND ", head[0], " ", head[1]));
      if ((head[1] & vfio::kBindFlagToken) == 0) {
        return CheckToken(device, std::nullopt);
      }
      const auto bind = Take<vfio::BindIommufd>(argument);
      return CheckToken(device, Take<Uuid>(bind.token_uuid_ptr));
    }
    case vfio::kAttachIommufdPt:
      log_.push_back("ATTACH");
      return 0;
    case VFIO_DEVICE_FEATURE:
      if (!device.is_pf) return -ENOTTY;
      device.token = Take<Uuid>(argument + 8);
      log_.push_back("SET_TOKEN");
      return 0;
    default:
      return -ENOTTY;
  }
}

// All functions with the same bus and device number.
std::vector<FakeDevice*> FakeVfio::SlotOf(const FakeDevice& device) const {
  std::vector<FakeDevice*> slot;
  for (const auto& other : devices_) {
    if (other->bdf.substr(0, 10) == device.bdf.substr(0, 10)) {
      slot.push_back(other.get());
    }
  }
  return slot;
}

int FakeVfio::DescribeHotReset(const FakeDevice& device, uintptr_t argument) {
  auto head = Take<vfio_pci_hot_reset_info>(argument);
  const std::vector<FakeDevice*> slot = SlotOf(device);
  const size_t room =
      (head.argsz - sizeof head) / sizeof(vfio_pci_dependent_device);
  head.count = static_cast<uint32_t>(slot.size());
  if (!opened_by_group_) {
    head.flags = vfio::kHotResetById | (slots_owned ? vfio::kHotResetOwned : 0);
  }
  Give(argument, head);
  if (room < slot.size()) return -ENOSPC;
  for (size_t i = 0; i < slot.size(); ++i) {
    const auto number = [&](size_t at, size_t size) {
      return std::stoul(slot[i]->bdf.substr(at, size), nullptr, 16);
    };
    const vfio_pci_dependent_device one{
        .group_id = slot[i]->group,
        .segment = static_cast<uint16_t>(number(0, 4)),
        .bus = static_cast<uint8_t>(number(5, 2)),
        .devfn = static_cast<uint8_t>(number(8, 2) << 3 | number(11, 1))};
    Give(argument + sizeof head + i * sizeof one, one);
  }
  return 0;
}

// drivers/vfio/pci/vfio_pci_core.c, vfio_pci_ioctl_pci_hot_reset(): all of the
// groups and no others, or, without groups, none.
int FakeVfio::HotReset(const FakeDevice& device, uintptr_t argument) {
  const auto head = Take<vfio_pci_hot_reset>(argument);
  const std::vector<FakeDevice*> slot = SlotOf(device);
  if (head.count > slot.size()) return -EINVAL;
  if (opened_by_group_ == (head.count == 0)) return -EINVAL;
  std::vector<uint32_t> groups;
  for (uint32_t i = 0; i < head.count; ++i) {
    const auto fd = Take<int32_t>(argument + sizeof head + i * sizeof(int32_t));
    const auto file = files_by_fd_.find(fd);
    if (file == files_by_fd_.end() || file->second.kind != Kind::kGroup) {
      return -EBADF;
    }
    groups.push_back(file->second.group);
  }
  for (const FakeDevice* one : slot) {
    const bool owned = opened_by_group_
                           ? std::ranges::count(groups, one->group) > 0
                           : slots_owned;
    if (!owned) return -EINVAL;
  }
  for (FakeDevice* one : slot) ++one->hot_resets;
  return 0;
}

// drivers/vfio/pci/vfio_pci_intrs.c: one of INTx, MSI and MSI-X at a time, and
// without resizing no vector beyond what was enabled first.
int FakeVfio::SetIrqs(FakeDevice& device, uintptr_t argument) {
  const auto set = Take<vfio_irq_set>(argument);
  ++device.irq_requests;
  const uint32_t most = device.irq_counts.at(set.index);
  if (set.count > most || set.start > most - set.count) return -EINVAL;
  std::vector<int> fds(set.count);
  if (set.count > 0) {
    std::memcpy(fds.data(),
                reinterpret_cast<const void*>(argument + sizeof set),
                fds.size() * sizeof(int));
  }
  if ((set.flags & VFIO_IRQ_SET_ACTION_UNMASK) != 0) {
    device.unmask_fd = fds.at(0);
    return 0;
  }
  if (set.count == 0) return device.irqs.erase(set.index) > 0 ? 0 : -EINVAL;
  for (const auto& [other, active] : device.irqs) {
    if (set.index < 3 && other < 3 && other != set.index) return -EINVAL;
  }
  std::vector<int>& active = device.irqs[set.index];
  const uint32_t end = set.start + set.count;
  if (end > device.vectors_left) {
    if (active.empty()) device.irqs.erase(set.index);
    if (device.vectors_left == 0) return -ENOSPC;
    return static_cast<int>(device.vectors_left);
  }
  if (active.size() < end) {
    if (!active.empty() && device.no_resize) return -EINVAL;
    active.resize(end, -1);
  }
  std::ranges::copy(fds, active.begin() + set.start);
  return 0;
}

ssize_t FakeVfio::Read(int fd, std::span<std::byte> data, uint64_t offset) {
  FakeDevice& device = *files_by_fd_.at(fd).device;
  if (device.gone) return -EIO;
  const uint64_t region = offset >> kRegionShift;
  const uint64_t at = offset & ((1ull << kRegionShift) - 1);
  if (region == 6) ++device.rom_reads;
  const auto& bytes = device.Region(region);
  if (at > bytes.size() || data.size() > bytes.size() - at) return -EINVAL;
  std::memcpy(data.data(), bytes.data() + at, data.size());
  return static_cast<ssize_t>(data.size());
}

ssize_t FakeVfio::Write(int fd, std::span<const std::byte> data,
                        uint64_t offset) {
  FakeDevice& device = *files_by_fd_.at(fd).device;
  if (device.gone) return -EIO;
  const uint64_t region = offset >> kRegionShift;
  const uint64_t at = offset & ((1ull << kRegionShift) - 1);
  if (region == 7 && device.on_config_write) device.on_config_write(at, data);
  if (region == 6) return -EINVAL;
  auto& bytes = region == 7 ? device.config : device.bars.at(region);
  if (at > bytes.size() || data.size() > bytes.size() - at) return -EINVAL;
  std::memcpy(bytes.data() + at, data.data(), data.size());
  return static_cast<ssize_t>(data.size());
}

int FakeVfio::MapOver(void* at, size_t size, int protection, int /*fd*/,
                      uint64_t offset) {
  log_.push_back(absl::StrFormat("MMAP %d %#x+%#x", offset >> kRegionShift,
                                 offset & ((1ull << kRegionShift) - 1), size));
  void* const got =
      ::mmap(at, size, protection,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? -errno : 0;
}

absl::StatusOr<uint32_t> FakeMapper::MapHost(uint64_t guest, uint64_t size,
                                             const void* host) {
  if (slots_.size() >= limit) {
    return absl::ResourceExhaustedError("no memory slot is left");
  }
  hosts[guest] = host;
  slots_[next_] = {guest, size};
  return next_++;
}

absl::Status FakeMapper::UnmapHost(uint32_t mapping) {
  return slots_.erase(mapping) > 0 ? absl::OkStatus()
                                   : absl::NotFoundError("no such slot");
}

std::map<uint64_t, uint64_t> FakeMapper::Mapped() const {
  std::map<uint64_t, uint64_t> all;
  for (const auto& [slot, range] : slots_) all.insert(range);
  return all;
}

}  // namespace kvmlet::fakes
