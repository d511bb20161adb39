// SPDX-License-Identifier: Apache-2.0
// A passed-through network function on a PCI root, over the fake VFIO, driven
// as a guest would. For the tests of devices/vfio; one thread.
#ifndef KVMLET_TESTS_DEVICES_VFIO_VFIO_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_VFIO_VFIO_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <array>
#include <memory>
#include <utility>

#include "devices/pci/pci_root.h"
#include "devices/vfio/vfio_pci.h"
#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_vfio.h"
#include "vmm/bus/bus.h"

namespace kvmlet::vfio {

class VfioFixture : public ::testing::Test {
 protected:
  static constexpr uint64_t kEcam = 0xe0000000;
  static constexpr uint64_t kWindow32 = 0xc0000000;
  static constexpr uint64_t kWindow64 = 0x800000000;
  static constexpr uint64_t kWindowSize = 0x1000000;

  VfioFixture() {
    const AddressSpace::Context context{
        .calls = kernel_, .paths = {}, .kvm = &kernel_};
    space_ = MakeContainer(context);
    auto function = Create(device_);
    EXPECT_TRUE(function.ok()) << function.status();
    function_ = function->get();
    const pci::PciWindows windows{*AddressRange::Make(kEcam, 0x10000000),
                                  *AddressRange::Make(kWindow32, kWindowSize),
                                  *AddressRange::Make(kWindow64, kWindowSize)};
    root_ = *pci::PciRoot::Create(
        windows, interrupts_, doorbells_,
        [](uint32_t slot, uint32_t pin) { return 15 + (slot + pin) % 4; });
    address_ = *root_->Add(*std::move(function));
    EXPECT_TRUE(root_->AddTo(bus_).ok());
    bus_.Seal();
    Bar0_ = Bar(0);
  }

  std::unique_ptr<HostDevice> OpenHost(const fakes::FakeDevice& device) {
    auto handle = space_->Open(kernel_.FactsOf(device), {});
    EXPECT_TRUE(handle.ok()) << handle.status();
    return *HostDevice::Create(kernel_, *std::move(handle), device.bdf);
  }
  absl::StatusOr<std::unique_ptr<VfioPci>> Create(
      const fakes::FakeDevice& device, const RomSource& rom = {}) {
    return VfioPci::Create(OpenHost(device), mapper_, rom);
  }

  uint64_t ReadMmio(uint64_t address, size_t width) {
    std::array<std::byte, 8> bytes{};
    const auto data = std::span(bytes).first(width);
    bus_.Read(address, data);
    return LoadLe(data);
  }
  void WriteMmio(uint64_t address, uint64_t value, size_t width) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    bus_.Write(address, std::span(bytes).first(width));
  }
  uint64_t ConfigAt(uint16_t offset) const {
    return kEcam + (uint64_t{address_.requester_id()} << 12) + offset;
  }
  uint64_t ReadConfig(uint16_t offset, size_t width) {
    return ReadMmio(ConfigAt(offset), width);
  }
  void WriteConfig(uint16_t offset, uint64_t value, size_t width) {
    WriteMmio(ConfigAt(offset), value, width);
  }
  uint64_t Bar(int index) {
    const auto at = static_cast<uint16_t>(pci::kBar0 + index * 4);
    const uint64_t low = ReadConfig(at, 4);
    const uint64_t high = (low & pci::kBar64Bit) != 0
                              ? ReadConfig(static_cast<uint16_t>(at + 4), 4)
                              : 0;
    return high << 32 | (low & pci::kBarAddressMask);
  }
  void EnableMsix() { WriteConfig(0x72, pci::kMsixEnable, 2); }
  // Gives it the message 0x40 + its number.
  void UnmaskVector(uint64_t vector) {
    const uint64_t entry = Bar(3) + vector * pci::kMsixEntrySize;
    WriteMmio(entry, 0xfee01000, 8);
    WriteMmio(entry + 8, 0x40 + vector, 4);
    WriteMmio(entry + 12, 0, 4);
  }

  fakes::FakeVfio kernel_;
  fakes::FakeDevice& device_ = kernel_.AddNetwork("0000:01:10.0", 7);
  fakes::FakeMapper mapper_;
  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  std::unique_ptr<AddressSpace> space_;
  Bus bus_{"mmio"};
  VfioPci* function_ = nullptr;
  std::unique_ptr<pci::PciRoot> root_;
  pci::PciAddress address_;
  uint64_t Bar0_ = 0;
};

}  // namespace kvmlet::vfio

#endif  // KVMLET_TESTS_DEVICES_VFIO_VFIO_FIXTURE_H_
