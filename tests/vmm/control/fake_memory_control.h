// SPDX-License-Identifier: Apache-2.0
// A MemoryControl with one device, vm0, and one file, pmem0, that remembers
// what it was told. Not thread-safe.
#ifndef KVMLET_TESTS_VMM_CONTROL_FAKE_MEMORY_CONTROL_H_
#define KVMLET_TESTS_VMM_CONTROL_FAKE_MEMORY_CONTROL_H_

#include <string>
#include <utility>
#include <vector>

#include "vmm/control/memory_control.h"

namespace kvmlet {

class FakeMemoryControl final : public MemoryControl {
 public:
  std::vector<MemoryDeviceInfo> memory_devices() const override {
    return {info};
  }
  std::vector<FixedMemoryInfo> fixed_memory() const override {
    return {{.id = "pmem0",
             .address = 16ull << 30,
             .size = 64ull << 20,
             .path = "disk.pmem",
             .read_only = true}};
  }
  absl::StatusOr<std::vector<std::pair<uint64_t, uint64_t>>> PluggedBlocks(
      std::string_view id) const override {
    if (id != info.id) return Missing(id);
    return runs;
  }
  absl::Status AddFault(std::string_view id,
                        const MemoryFault& fault) override {
    if (id != info.id) return Missing(id);
    faults.push_back(fault);
    return absl::OkStatus();
  }
  absl::Status ClearFaults(std::string_view id) override {
    if (id != info.id) return Missing(id);
    faults.clear();
    return absl::OkStatus();
  }

  MemoryDeviceInfo info{.id = "vm0",
                        .address = 4ull << 30,
                        .requested = 1ull << 30,
                        .plugged = 512ull << 20,
                        .usable = 2ull << 30,
                        .max = 8ull << 30,
                        .block = 2ull << 20,
                        .node = 1,
                        .prealloc = false,
                        .backing = "anonymous",
                        .state = "stalled",
                        .reason = "the guest sleeps",
                        .slots = 4,
                        .touched_unplugged = 4096,
                        .acks = 5,
                        .nacks = 1,
                        .busies = 2,
                        .errors = 3};
  std::vector<std::pair<uint64_t, uint64_t>> runs{{0, 256}};
  std::vector<MemoryFault> faults;

 private:
  static absl::Status Missing(std::string_view id) {
    return absl::NotFoundError("there is no memory device '" + std::string(id) +
                               "'");
  }
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_CONTROL_FAKE_MEMORY_CONTROL_H_
