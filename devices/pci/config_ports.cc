// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/config_ports.h"

namespace kvmlet::pci {
namespace {

constexpr uint64_t kAddress = 0;
constexpr uint64_t kResetControl = 1;  // port 0xcf9
constexpr uint64_t kData = 4;          // port 0xcfc

constexpr uint32_t kEnable = 1u << 31;
// Bits 30 to 24 and the two lowest are reserved.
constexpr uint32_t kAddressMask = 0x80fffffc;

// Reset control: the reset happens when RST_CPU goes from 0 to 1.
constexpr uint8_t kSystemReset = 1 << 1;
constexpr uint8_t kResetCpu = 1 << 2;
constexpr uint8_t kFullReset = 1 << 3;

struct Target {
  uint32_t bus;
  PciAddress address;
  uint32_t offset;
};

Target Decode(uint32_t address, uint64_t port) {
  return {(address >> 16) & 0xff,
          {static_cast<uint8_t>((address >> 11) & 0x1f),
           static_cast<uint8_t>((address >> 8) & 0x7)},
          (address & 0xfc) + static_cast<uint32_t>(port - kData)};
}

}  // namespace

void ConfigPorts::Read(uint64_t offset, std::span<std::byte> data) {
  FillOnes(data);
  if (offset >= kData) {
    const uint32_t address = address_.load();
    if ((address & kEnable) == 0) return;
    const Target target = Decode(address, offset);
    root_.ReadConfig(target.bus, target.address, target.offset, data);
  } else if (offset == kAddress && data.size() == 4) {
    StoreLe(address_.load(), data);
  } else if (offset == kResetControl && data.size() == 1) {
    StoreLe(reset_control_.load(), data);
  }
}

void ConfigPorts::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kData) {
    const uint32_t address = address_.load();
    if ((address & kEnable) == 0) return;
    const Target target = Decode(address, offset);
    root_.WriteConfig(target.bus, target.address, target.offset, data);
  } else if (offset == kAddress && data.size() == 4) {
    address_.store(static_cast<uint32_t>(LoadLe(data)) & kAddressMask);
  } else if (offset == kResetControl && data.size() == 1) {
    WriteResetControl(static_cast<uint8_t>(LoadLe(data)));
  }
}

void ConfigPorts::WriteResetControl(uint8_t value) {
  constexpr uint8_t kKept = kSystemReset | kFullReset;
  // RST_CPU is an edge: it is not kept, so that a second write resets again.
  reset_control_.store(value & kKept);
  if ((value & kResetCpu) != 0) requests_.Reset(Door::kPciReset);
}

void ConfigPorts::Reset() {
  address_.store(0);
  reset_control_.store(0);
}

}  // namespace kvmlet::pci
