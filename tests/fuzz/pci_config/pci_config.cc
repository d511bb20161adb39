// SPDX-License-Identifier: Apache-2.0
// A guest that touches every PCI register at random: configuration space by
// ECAM and by ports, BARs that it moves, MSI-X, and the virtio transport with
// a device that reports things while it is driven. Each command is 12 bytes.
// After every command the doorbells must lie inside the windows.
#include <glog/logging.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "devices/pci/config_ports.h"
#include "devices/pci/pci_root.h"
#include "devices/virtio/transport.h"
#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_pci_device.h"
#include "tests/fakes/fake_virtio_device.h"
#include "vmm/bus/bus.h"

namespace kvmlet {
namespace {

constexpr uint64_t kEcam = 0xe0000000;
constexpr uint64_t kWindow32 = 0xc0000000;
constexpr uint64_t kWindow64 = 0x4000000000;
constexpr uint64_t kWindowSize = 0x100000;

struct Command {
  uint8_t kind;
  uint8_t width;
  uint16_t offset;
  uint64_t value;
};
constexpr size_t kCommandSize = 12;

class NoRequests : public GuestRequests {
 public:
  void PowerOff(Door) override {}
  void Reset(Door) override {}
  void Exit(Door, uint64_t, std::string) override {}
  void Panic(Door, bool) override {}
};

class Machine {
 public:
  Machine() {
    auto device = std::make_unique<fakes::FakeVirtioDevice>();
    device_ = device.get();
    Add(*virtio::VirtioPciTransport::Create(std::move(device), memory_,
                                            *loop_));
    Add(std::make_unique<fakes::FakePciDevice>(
        std::vector<pci::BarSpec>{{.index = 0, .size = 0x1000},
                                  {.index = 4, .size = 16}},
        /*vectors=*/5));
    if (!root_->AddTo(bus_).ok()) std::abort();
    bus_.Seal();
  }

  void Run(const Command& command) {
    const size_t width = size_t{1} << (command.width % 4);
    const bool write = (command.width & 0x80) != 0;
    switch (command.kind % 8) {
      case 0:  // the configuration space of either function, or beside them
        Access(kEcam + 0x8000 + command.offset, width, write, command.value);
        break;
      case 1:
        Ports(command.offset % 8, width, write, command.value);
        break;
      case 2:  // anywhere in the windows
        Access(kWindow32 + (uint64_t{command.offset} << 4), width, write,
               command.value);
        break;
      case 3:
        Access(kWindow64 + (uint64_t{command.offset} << 4), width, write,
               command.value);
        break;
      case 4:  // the transport's registers, wherever the BAR is
        Access(Bar() + command.offset % 0x8000, width, write, command.value);
        break;
      case 5:
        Event(command.offset);
        break;
      case 6:
        SetUpDriver(command.value);
        break;
      default:
        if (command.offset % 64 == 0) root_->Reset();
        break;
    }
    CheckDoorbells();
  }

 private:
  void Add(std::unique_ptr<pci::PciDevice> device) {
    if (!root_->Add(std::move(device)).ok()) std::abort();
  }
  void Access(uint64_t address, size_t width, bool write, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    if (write) {
      bus_.Write(address, std::span(bytes).first(width));
    } else {
      bus_.Read(address, std::span(bytes).first(width));
    }
  }
  uint64_t ConfigWord(uint64_t offset) {
    std::array<std::byte, 4> bytes{};
    bus_.Read(kEcam + 0x8000 + offset, bytes);
    return LoadLe(bytes);
  }
  uint64_t Bar() {
    return (ConfigWord(0x10) & ~uint64_t{0xf}) | ConfigWord(0x14) << 32;
  }
  // An access never reaches beyond the device, as the bus would see to.
  void Ports(uint64_t offset, size_t width, bool write, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    if (width > 4 || width > pci::ConfigPorts::kSize - offset) width = 1;
    if (write) {
      ports_.Write(offset, std::span(bytes).first(width));
    } else {
      ports_.Read(offset, std::span(bytes).first(width));
    }
  }
  void Event(uint16_t kind) {
    if (!device_->active) return;
    virtio::DeviceEvents& events = *device_->active->events;
    switch (kind % 4) {
      case 0:
        return events.NotifyQueue(kind >> 8);
      case 1:
        return events.NotifyConfig();
      case 2:
        return events.SetNeedsReset("fuzzed");
      default:
        if (events.QueueCallFd(kind >> 8 & 1) < 0) std::abort();
    }
  }
  // The steps of a driver that lead to DRIVER_OK, with fuzzed ring addresses.
  void SetUpDriver(uint64_t value) {
    const uint64_t bar = Bar();
    Access(bar + 20, 1, true, 0);
    Access(bar + 8, 4, true, 1);
    Access(bar + 12, 4, true, 1);
    Access(bar + 20, 1, true, 11);
    Access(bar + 22, 2, true, value & 1);
    Access(bar + 32, 8, true, (value & 0xfff0) * 16);
    Access(bar + 40, 8, true, ((value >> 16) & 0xffff) * 2);
    Access(bar + 48, 8, true, ((value >> 32) & 0xffff) * 4);
    Access(bar + 28, 2, true, 1);
    Access(bar + 20, 1, true, 15);
  }
  void CheckDoorbells() const {
    for (const auto& [address, fd] : doorbells_.attached()) {
      const bool low = address - kWindow32 < kWindowSize;
      const bool high = address - kWindow64 < kWindowSize;
      if ((!low && !high) || fd < 0) std::abort();
    }
    if (!device_->active && !doorbells_.attached().empty()) std::abort();
  }

  GuestMemory memory_ = fakes::MakeMemory();
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  NoRequests requests_;
  Bus bus_{"mmio"};
  fakes::FakeVirtioDevice* device_ = nullptr;
  std::unique_ptr<pci::PciRoot> root_ = *pci::PciRoot::Create(
      {*AddressRange::Make(kEcam, 0x200000),
       *AddressRange::Make(kWindow32, kWindowSize),
       *AddressRange::Make(kWindow64, kWindowSize)},
      interrupts_, doorbells_, [](uint32_t, uint32_t) { return 16; });
  pci::ConfigPorts ports_{*root_, requests_};
};

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // What the guest causes is logged, and would drown the fuzzer's own lines.
  FLAGS_minloglevel = google::GLOG_FATAL;
  kvmlet::Machine machine;
  constexpr size_t kStep = kvmlet::kCommandSize;
  for (; size >= kStep; data += kStep, size -= kStep) {
    kvmlet::Command command;
    std::memcpy(&command.kind, data, 1);
    std::memcpy(&command.width, data + 1, 1);
    std::memcpy(&command.offset, data + 2, 2);
    std::memcpy(&command.value, data + 4, 8);
    machine.Run(command);
  }
  return 0;
}
