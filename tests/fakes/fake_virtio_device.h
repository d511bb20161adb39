// SPDX-License-Identifier: Apache-2.0
// A VirtioDevice for tests of the transport: it remembers what it was called
// with, and leaves the data path to the test. Not thread-safe.
#ifndef KVMLET_TESTS_FAKES_FAKE_VIRTIO_DEVICE_H_
#define KVMLET_TESTS_FAKES_FAKE_VIRTIO_DEVICE_H_

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "devices/virtio/device.h"
#include "devices/virtio/spec.h"

namespace kvmlet::fakes {

class FakeVirtioDevice : public virtio::VirtioDevice {
 public:
  static constexpr uint64_t kFeature = 1ull << 5;

  explicit FakeVirtioDevice(std::vector<uint16_t> queue_sizes = {64, 16})
      : queue_sizes_(std::move(queue_sizes)) {}

  std::string_view name() const override { return "virtio-fake"; }
  uint16_t device_type() const override { return virtio::kDeviceEntropy; }
  uint64_t device_features() const override { return kFeature; }
  std::span<const uint16_t> queue_sizes() const override {
    return queue_sizes_;
  }
  uint32_t config_size() const override { return sizeof(config); }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override {
    std::memcpy(data.data(), config.data() + offset, data.size());
  }
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override {
    std::memcpy(config.data() + offset, data.data(), data.size());
  }
  absl::Status Activate(virtio::ActiveState state) override {
    ++activations;
    if (fail_activation) return absl::InternalError("the host refuses");
    active = std::move(state);
    if (on_activate) on_activate();
    return absl::OkStatus();
  }
  void Reset() override {
    if (on_reset) on_reset();
    ++resets;
    active.reset();
  }

  std::array<std::byte, 12> config{};  // deliberately no multiple of 8
  std::optional<virtio::ActiveState> active;
  bool fail_activation = false;
  int activations = 0;
  int resets = 0;
  std::function<void()> on_activate;
  std::function<void()> on_reset;

 private:
  std::vector<uint16_t> queue_sizes_;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_VIRTIO_DEVICE_H_
