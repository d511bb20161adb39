// SPDX-License-Identifier: Apache-2.0
// Device memory of 64 blocks of 2 MiB at 4 GiB inside a GuestMemory with 4 MiB
// of RAM, and a listener that keeps a diary and refuses on demand. One thread.
#ifndef KVMLET_TESTS_VMM_MEMORY_DEVICE_MEMORY_FIXTURE_H_
#define KVMLET_TESTS_VMM_MEMORY_DEVICE_MEMORY_FIXTURE_H_

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class DiaryListener final : public MemoryListener {
 public:
  DiaryListener(std::string name, std::vector<std::string>& diary)
      : name_(std::move(name)), diary_(diary) {}

  absl::Status OnPlug(const RamRegion& part) override {
    if (refuse) return absl::ResourceExhaustedError("refused");
    Note("+", part);
    return absl::OkStatus();
  }
  void OnUnplug(const RamRegion& part) override { Note("-", part); }

  bool refuse = false;

 private:
  void Note(const char* sign, const RamRegion& part) {
    diary_.push_back(
        absl::StrCat(name_, sign, part.fd_offset >> 21, ",", part.size >> 21));
  }
  std::string name_;
  std::vector<std::string>& diary_;
};

class DeviceMemoryTest : public testing::Test {
 protected:
  static constexpr uint64_t kBlock = 2 << 20;
  static constexpr uint64_t kBlocks = 64;
  static constexpr Gpa kBase{4ull << 30};

  static DeviceMemoryOptions Options(BackingOptions backing = {}) {
    return {.flag = "--virtio-mem vm0",
            .base = kBase,
            .size = kBlocks * kBlock,
            .block_size = kBlock,
            .backing = std::move(backing)};
  }
  static GuestMemory MakeRam() {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, 4 << 20}};
    return *GuestMemory::Create(ranges, {});
  }
  DeviceMemory& Add(const DeviceMemoryOptions& options) {
    auto device = DeviceMemory::Create(options);
    EXPECT_TRUE(device.ok()) << device.status();
    return ram_.AddDevice(*std::move(device));
  }
  static Gpa Block(uint64_t index) { return kBase + index * kBlock; }

  GuestMemory ram_ = MakeRam();
  std::vector<std::string> diary_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_MEMORY_DEVICE_MEMORY_FIXTURE_H_
