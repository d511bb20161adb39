// SPDX-License-Identifier: Apache-2.0
// A virtio function on a PCI root, driven as a guest would: through ECAM and
// the BAR's addresses. For the transport's tests; one thread.
#ifndef KVMLET_TESTS_DEVICES_VIRTIO_TRANSPORT_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_VIRTIO_TRANSPORT_FIXTURE_H_

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>

#include "devices/pci/pci_root.h"
#include "devices/virtio/transport.h"
#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_virtio_device.h"
#include "vmm/bus/bus.h"
#include "vmm/event/event_loop.h"

namespace kvmlet::virtio {

class TransportFixture : public ::testing::Test {
 protected:
  using Transport = VirtioPciTransport;
  static constexpr uint64_t kEcam = 0xe0000000;
  static constexpr uint64_t kWindow32 = 0xc0000000;
  static constexpr uint64_t kWindow64 = 0x800000000;
  static constexpr uint64_t kWindowSize = 0x1000000;

  TransportFixture() {
    auto device = std::make_unique<fakes::FakeVirtioDevice>();
    device_ = device.get();
    auto transport = Transport::Create(std::move(device), memory_, *loop_);
    EXPECT_TRUE(transport.ok()) << transport.status();
    const pci::PciWindows windows{*AddressRange::Make(kEcam, 0x10000000),
                                  *AddressRange::Make(kWindow32, kWindowSize),
                                  *AddressRange::Make(kWindow64, kWindowSize)};
    root_ = *pci::PciRoot::Create(
        windows, interrupts_, doorbells_,
        [](uint32_t slot, uint32_t pin) { return 15 + (slot + pin) % 4; });
    address_ = *root_->Add(*std::move(transport));
    EXPECT_TRUE(root_->AddTo(bus_).ok());
    bus_.Seal();
    bar_ = BarAddress();
  }

  uint64_t Read(uint64_t address, size_t width) {
    std::array<std::byte, 8> bytes{};
    bus_.Read(address, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Write(uint64_t address, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    bus_.Write(address, std::span(bytes).first(width));
  }
  uint64_t Config(uint64_t offset) const {
    return kEcam + (uint64_t{address_.requester_id()} << 12) + offset;
  }
  uint64_t BarAddress() {
    return (Read(Config(0x10), 4) & ~uint64_t{0xf}) | Read(Config(0x14), 4)
                                                          << 32;
  }
  void MoveBar(uint64_t address) {
    Write(Config(0x04), 2, 0);
    Write(Config(0x10), 4, address & 0xffffffff);
    Write(Config(0x14), 4, address >> 32);
    Write(Config(0x04), 2, 2);
    bar_ = address;
  }
  uint64_t Common(uint64_t offset) const {
    return bar_ + Transport::kCommonOffset + offset;
  }
  uint8_t Status() { return static_cast<uint8_t>(Read(Common(20), 1)); }
  void SetStatus(uint8_t status) { Write(Common(20), 1, status); }
  uint64_t Doorbell(uint32_t queue) const {
    return bar_ + Transport::kNotifyOffset +
           uint64_t{queue} * Transport::kNotifyMultiplier;
  }

  void NegotiateAll() {
    SetStatus(0);
    SetStatus(kStatusAcknowledge | kStatusDriver);
    for (uint32_t half = 0; half < 2; ++half) {
      Write(Common(0), 4, half);
      const uint64_t offered = Read(Common(4), 4);
      Write(Common(8), 4, half);
      Write(Common(12), 4, offered);
    }
    SetStatus(kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk);
  }
  void SetUpQueue(uint16_t index, const QueueConfig& queue) {
    Write(Common(22), 2, index);
    Write(Common(24), 2, queue.size);
    Write(Common(26), 2, index);
    Write(Common(32), 8, queue.desc.value);
    Write(Common(40), 8, queue.driver.value);
    Write(Common(48), 8, queue.device.value);
    Write(Common(28), 2, 1);
  }
  // Everything a driver does, with queue 0 in use.
  void StartDriver() {
    NegotiateAll();
    SetUpQueue(0, driver_.config());
    SetStatus(15);
  }
  // MSI-X on, with `vector` unmasked.
  void EnableMsix() {
    Write(MsixControl(), 2, 0x8000);
    Write(Common(16), 2, 2);  // configuration changes
    for (uint32_t vector = 0; vector < 3; ++vector) UnmaskVector(vector);
  }
  void UnmaskVector(uint32_t vector) {
    const uint64_t entry =
        bar_ + Transport::kMsixTableOffset + uint64_t{vector} * 16;
    Write(entry, 4, 0xfee00000);
    Write(entry + 4, 4, 0);
    Write(entry + 8, 4, 0x40 + vector);
    Write(entry + 12, 4, 0);
  }
  // Message Control of the MSI-X capability.
  uint64_t MsixControl() {
    uint64_t at = Read(Config(0x34), 1);
    while (at != 0 && Read(Config(at), 1) != 0x11) at = Read(Config(at + 1), 1);
    return Config(at + 2);
  }
  DeviceEvents& events() { return *device_->active->events; }

  GuestMemory memory_ = fakes::MakeMemory();
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  fakes::FakeDriver driver_{memory_, 16};
  Bus bus_{"mmio"};
  fakes::FakeVirtioDevice* device_ = nullptr;
  std::unique_ptr<pci::PciRoot> root_;
  pci::PciAddress address_;
  uint64_t bar_ = 0;
};

}  // namespace kvmlet::virtio

#endif  // KVMLET_TESTS_DEVICES_VIRTIO_TRANSPORT_FIXTURE_H_
