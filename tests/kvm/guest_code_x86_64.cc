// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>

#include "tests/kvm/guest_code.h"

namespace kvmlet {

namespace {

constexpr uint16_t kCom1 = 0x3f8;
constexpr uint16_t kCom1Lsr = 0x3fd;
constexpr uint16_t kCom1Scratch = 0x3ff;
constexpr uint32_t kGedEvents = 0xfeb00000;

}  // namespace

// Intel SDM volume 2, opcodes for a 32-bit code segment.

const uint32_t GuestCode::kBase = 0x100020;
const uint32_t GuestCode::kScratch = 0x200000;
const uint32_t GuestCode::kUnclaimed = 0xf8000000;
const char GuestCode::kProgramCounter[] = "RIP=";
const char GuestCode::kLeaveReason[] = "io";

void GuestCode::SetDx(uint16_t port) {
  Raw({0xba});  // mov edx, imm32
  Add32(port);
}

GuestCode& GuestCode::Raw(std::initializer_list<int> bytes) {
  for (const int b : bytes) bytes_.push_back(static_cast<uint8_t>(b));
  return *this;
}

GuestCode& GuestCode::Eax(uint32_t value) {
  Raw({0xb8});
  Add32(value);
  return *this;
}

GuestCode& GuestCode::Out8(uint16_t port, uint8_t value) {
  Eax(value);
  return OutAl(port);
}

GuestCode& GuestCode::Out16(uint16_t port, uint16_t value) {
  Eax(value);
  SetDx(port);
  return Raw({0x66, 0xef});
}

GuestCode& GuestCode::Out32(uint16_t port, uint32_t value) {
  Eax(value);
  SetDx(port);
  return Raw({0xef});
}

GuestCode& GuestCode::OutAl(uint16_t port) {
  SetDx(port);
  return Raw({0xee});
}

GuestCode& GuestCode::In8(uint16_t port) {
  Eax(0);
  SetDx(port);
  return Raw({0xec});
}

GuestCode& GuestCode::Load32(uint32_t address) {
  Raw({0xa1});
  Add32(address);
  return *this;
}

GuestCode& GuestCode::Store8(uint32_t address, uint8_t value) {
  Raw({0xc6, 0x05});
  Add32(address);
  return Raw({value});
}

GuestCode& GuestCode::Store32(uint32_t address, uint32_t value) {
  Raw({0xc7, 0x05});
  Add32(address);
  Add32(value);
  return *this;
}

GuestCode& GuestCode::TestAl(uint8_t bits) { return Raw({0xa8, bits}); }

GuestCode& GuestCode::Compare(uint32_t value) {
  Raw({0x3d});
  Add32(value);
  return *this;
}

GuestCode& GuestCode::Increment(uint32_t address) {
  Raw({0xff, 0x05});
  Add32(address);
  return *this;
}

GuestCode& GuestCode::JumpWith(std::initializer_list<int> opcode, uint32_t to) {
  Raw(opcode);
  Add32(to - (here() + 4));
  return *this;
}

GuestCode& GuestCode::Jump(uint32_t to) { return JumpWith({0xe9}, to); }

GuestCode& GuestCode::JumpIfEqual(uint32_t to) {
  return JumpWith({0x0f, 0x84}, to);
}

GuestCode& GuestCode::JumpIfNotEqual(uint32_t to) {
  return JumpWith({0x0f, 0x85}, to);
}

GuestCode& GuestCode::Print(std::string_view text) {
  for (const char c : text) Out8(kCom1, static_cast<uint8_t>(c));
  return *this;
}

GuestCode& GuestCode::ReadSerial() {
  const uint32_t poll = here();
  In8(kCom1Lsr).TestAl(1).JumpIfEqual(poll);
  return In8(kCom1);
}

GuestCode& GuestCode::EchoSerial() { return OutAl(kCom1); }

GuestCode& GuestCode::Exit(uint32_t status) {
  return Out32(kExitPort, status).HaltForEver();
}

GuestCode& GuestCode::HaltForEver() {
  const uint32_t at = here();
  return Raw({0xfa, 0xf4}).Jump(at);
}

GuestCode& GuestCode::Reset() { return Out8(0x64, 0xfe).HaltForEver(); }

GuestCode& GuestCode::LeaveToMonitor() { return Out8(0x80, 0); }

GuestCode& GuestCode::ReportToPvpanic(uint8_t events) {
  return Out8(0x505, events);
}

GuestCode& GuestCode::WaitForPowerButton() {
  const uint32_t again = here();
  return Load32(kGedEvents).Compare(0).JumpIfEqual(again);
}

GuestCode& GuestCode::LoadDeviceState() { return In8(kCom1Scratch); }

GuestCode& GuestCode::DisturbDevices() {
  return Out8(kCom1Scratch, 0x5a).Out32(0xcf8, 0x80000000);
}

std::string GuestCode::Kernel() const {
  // Multiboot 0.6.96, 3.1.1: the addresses in the header are valid.
  constexpr uint32_t kMagic = 0x1badb002;
  constexpr uint32_t kFlags = 1u << 16;
  const std::array<uint32_t, 8> header{
      kMagic, kFlags, 0 - kMagic - kFlags, kBase - 32, kBase - 32, 0, 0, kBase};
  std::string image(sizeof(header), '\0');
  std::memcpy(image.data(), header.data(), sizeof(header));
  return image.append(bytes_.begin(), bytes_.end());
}

}  // namespace kvmlet
