// SPDX-License-Identifier: Apache-2.0
#include "tests/kvm/guest_code.h"

namespace kvmlet {
namespace {

// W0 holds what is loaded, X1 an address, W2 a value.
constexpr uint32_t kLoaded = 0;
constexpr uint32_t kAddress = 1;
constexpr uint32_t kValue = 2;

constexpr uint32_t kUart = 0x09000000;
constexpr uint32_t kUartFlags = kUart + 0x18;
constexpr uint32_t kUartReceiveEmpty = 0x10;
constexpr uint32_t kGpioData = 0x09030000 + 0x3fc;
constexpr uint32_t kGpioDirection = 0x09030000 + 0x400;
constexpr uint32_t kExitDevice = 0x09080000;
constexpr uint32_t kPvpanic = 0x09090000;
constexpr uint32_t kPsciSystemReset = 0x84000009;

// Arm ARM, C6.2.
constexpr uint32_t kLoadWord = 0xb9400000 | kAddress << 5 | kLoaded;
constexpr uint32_t kStoreWord = 0xb9000000 | kAddress << 5;
constexpr uint32_t kStoreByte = 0x39000000 | kAddress << 5 | kValue;
constexpr uint32_t kCompare = 0x6b00001f | kValue << 16 | kLoaded << 5;
constexpr uint32_t kTest = 0x6a00001f | kValue << 16 | kLoaded << 5;
constexpr uint32_t kIncrement = 0x11000400 | kLoaded << 5 | kLoaded;
constexpr uint32_t kHypervisorCall = 0xd4000002;
constexpr uint32_t kWaitForInterrupt = 0xd503207f;
constexpr uint32_t kMaskInterrupts = 0xd5034fdf;
constexpr uint32_t kEqual = 0;
constexpr uint32_t kNotEqual = 1;

}  // namespace

const uint32_t GuestCode::kBase = 0x40080000;
const uint32_t GuestCode::kScratch = 0x40200000;
const uint32_t GuestCode::kUnclaimed = 0x09f00000;
const char GuestCode::kProgramCounter[] = "PC =";
const char GuestCode::kLeaveReason[] = "mmio";

void GuestCode::SetRegister(uint32_t number, uint32_t value) {
  Add32(0xd2800000 | (value & 0xffff) << 5 | number);        // movz
  Add32(0xf2a00000 | (value >> 16 & 0xffff) << 5 | number);  // movk, lsl 16
}

GuestCode& GuestCode::BranchIf(uint32_t condition, uint32_t to) {
  const uint32_t words = (to - here()) / 4;
  Add32(0x54000000 | (words & 0x7ffff) << 5 | condition);
  return *this;
}

GuestCode& GuestCode::Load32(uint32_t address) {
  SetRegister(kAddress, address);
  Add32(kLoadWord);
  return *this;
}

GuestCode& GuestCode::Store8(uint32_t address, uint8_t value) {
  SetRegister(kAddress, address);
  SetRegister(kValue, value);
  Add32(kStoreByte);
  return *this;
}

GuestCode& GuestCode::Store32(uint32_t address, uint32_t value) {
  SetRegister(kAddress, address);
  SetRegister(kValue, value);
  Add32(kStoreWord | kValue);
  return *this;
}

GuestCode& GuestCode::Increment(uint32_t address) {
  Load32(address);
  Add32(kIncrement);
  Add32(kStoreWord | kLoaded);
  return *this;
}

GuestCode& GuestCode::Compare(uint32_t value) {
  SetRegister(kValue, value);
  Add32(kCompare);
  return *this;
}

GuestCode& GuestCode::Jump(uint32_t to) {
  Add32(0x14000000 | ((to - here()) / 4 & 0x3ffffff));
  return *this;
}

GuestCode& GuestCode::JumpIfEqual(uint32_t to) { return BranchIf(kEqual, to); }

GuestCode& GuestCode::JumpIfNotEqual(uint32_t to) {
  return BranchIf(kNotEqual, to);
}

GuestCode& GuestCode::Print(std::string_view text) {
  for (const char c : text) Store32(kUart, static_cast<uint8_t>(c));
  return *this;
}

GuestCode& GuestCode::ReadSerial() {
  const uint32_t poll = here();
  Load32(kUartFlags);
  SetRegister(kValue, kUartReceiveEmpty);
  Add32(kTest);
  return JumpIfNotEqual(poll).Load32(kUart);
}

GuestCode& GuestCode::EchoSerial() {
  SetRegister(kAddress, kUart);
  Add32(kStoreWord | kLoaded);
  return *this;
}

GuestCode& GuestCode::Exit(uint32_t status) {
  return Store32(kExitDevice, status).HaltForEver();
}

GuestCode& GuestCode::Reset() {
  SetRegister(kLoaded, kPsciSystemReset);
  Add32(kHypervisorCall);
  return HaltForEver();
}

GuestCode& GuestCode::HaltForEver() {
  Add32(kMaskInterrupts);
  const uint32_t again = here();
  Add32(kWaitForInterrupt);
  return Jump(again);
}

GuestCode& GuestCode::LeaveToMonitor() { return Store32(kUnclaimed, 0); }

GuestCode& GuestCode::ReportToPvpanic(uint8_t events) {
  return Store8(kPvpanic, events);
}

GuestCode& GuestCode::WaitForPowerButton() {
  const uint32_t again = here();
  return Load32(kGpioData).Compare(0).JumpIfEqual(again);
}

GuestCode& GuestCode::LoadDeviceState() { return Load32(kGpioDirection); }

GuestCode& GuestCode::DisturbDevices() { return Store32(kGpioDirection, 0xff); }

std::string GuestCode::Kernel() const {
  return std::string(bytes_.begin(), bytes_.end());
}

}  // namespace kvmlet
