// SPDX-License-Identifier: Apache-2.0
// virtio-console with several ports: port 0 may be the guest's terminal
// (hvc0), further ports are named byte streams for programs in the guest, such
// as "kvmlet.verdict". Output goes to a CharBackend or a function; input comes
// from a CharBackend.
//
// Threads: Create on the building thread; the data path runs on the loop that
// was given. Errors: a driver that breaks the protocol gets NEEDS_RESET; an
// unknown control message is ignored.
// Specification: Virtio 1.2, section 5.3.
#ifndef KVMLET_DEVICES_VIRTIO_CONSOLE_H_
#define KVMLET_DEVICES_VIRTIO_CONSOLE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "devices/backend/char_backend.h"
#include "devices/virtio/device.h"
#include "vmm/base/log_limiter.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class ConsoleDevice final : public VirtioDevice {
 public:
  using Output = std::function<void(std::span<const std::byte>)>;
  struct Port {
    std::string name;                // what the guest sees; empty: none
    bool console = false;            // a terminal for the guest's login
    CharBackend* backend = nullptr;  // borrowed; input and output
    Output output;                   // instead of a backend: output only
  };

  // Port 0 is reserved for the console; without one it is not announced.
  // The loop outlives the device.
  static std::unique_ptr<ConsoleDevice> Create(std::vector<Port> ports,
                                               EventLoop& loop);
  ~ConsoleDevice() override;

  std::string_view name() const override { return "virtio-console"; }
  uint16_t device_type() const override { return 3; }
  uint64_t device_features() const override;
  std::span<const uint16_t> queue_sizes() const override { return sizes_; }
  uint32_t config_size() const override { return 12; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  absl::Status Activate(ActiveState state) override;
  void Reset() override;

 private:
  struct PortState {
    Port config;
    bool announced = false;                 // the driver answered PORT_READY
    std::optional<DescriptorChain> output;  // on the loop: written in part
    std::mutex mutex;
    std::vector<std::byte> input;  // guarded by mutex: not yet in a buffer
    bool starved = false;          // guarded by mutex: the backend waits
  };
  struct Control {
    uint32_t port;
    uint16_t event;
    uint16_t value;
    std::string text;
  };

  ConsoleDevice(std::vector<Port> ports, EventLoop& loop);
  size_t OnBackendInput(PortState& port, std::span<const std::byte> data);

  // The data path, on the loop.
  void Start();
  void OnKick(uint16_t queue);
  void HandleOutput(uint32_t port, ActiveQueue& queue);
  size_t WriteOut(PortState& state, size_t limit);
  void HandleControl(ActiveQueue& queue);
  void OnControl(const Control& message);
  void SendControl(Control message);
  void FlushControl();
  void FlushInput(uint32_t port);
  void Finish(ActiveQueue& queue, bool used);
  ActiveQueue* Queue(uint16_t index);

  EventLoop& loop_;
  LogLimiter log_{"virtio-console"};
  std::vector<uint16_t> sizes_;
  std::vector<std::unique_ptr<PortState>> ports_;
  ActiveState active_;           // on the loop
  bool running_ = false;         // on the loop
  std::deque<Control> control_;  // on the loop: waiting for buffers
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_DEVICES_VIRTIO_CONSOLE_H_
