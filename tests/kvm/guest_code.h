// SPDX-License-Identifier: Apache-2.0
// An assembler of a dozen operations for guests of a few bytes, the same words
// on every ISA: on x86-64 32-bit protected mode without paging, on arm64 EL1
// with the MMU off, plain integer instructions only, because some hosts emulate
// the kernel's mode. One value is "loaded" at a time; comparisons are with it.
// The same bytes run in this process, or as a kernel for the monitor's program.
#ifndef KVMLET_TESTS_KVM_GUEST_CODE_H_
#define KVMLET_TESTS_KVM_GUEST_CODE_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kvmlet {

class GuestCode {
 public:
  // Where the first byte runs, also as a kernel.
  static const uint32_t kBase;
  // RAM that nothing uses, and an address that nobody has.
  static const uint32_t kScratch;
  static const uint32_t kUnclaimed;
  // How a report on registers begins.
  static const char kProgramCounter[];
  // KVM's reason for the exit that LeaveToMonitor makes.
  static const char kLeaveReason[];

  GuestCode& Load32(uint32_t address);
  GuestCode& Store8(uint32_t address, uint8_t value);
  GuestCode& Store32(uint32_t address, uint32_t value);
  GuestCode& Increment(uint32_t address);  // the 32 bits there
  GuestCode& Compare(uint32_t value);
  // Jumps go to an address that here() gave.
  GuestCode& Jump(uint32_t to);
  GuestCode& JumpIfEqual(uint32_t to);
  GuestCode& JumpIfNotEqual(uint32_t to);
  GuestCode& IfEqual(const std::function<void(GuestCode&)>& body);
  GuestCode& IfNotEqual(const std::function<void(GuestCode&)>& body);

  // The serial port. ReadSerial waits for a byte and loads it; EchoSerial
  // sends what is loaded.
  GuestCode& Print(std::string_view text);
  GuestCode& ReadSerial();
  GuestCode& EchoSerial();

  GuestCode& Exit(uint32_t status);
  GuestCode& Reset();
  GuestCode& HaltForEver();  // interrupts off
  // One exit to the monitor that has no effect.
  GuestCode& LeaveToMonitor();
  GuestCode& ReportToPvpanic(uint8_t events);
  // Until it is pressed.
  GuestCode& WaitForPowerButton();
  // Loads one bit of device state that is 0 at power-on and that
  // DisturbDevices sets.
  GuestCode& LoadDeviceState();
  GuestCode& DisturbDevices();

  // x86-64 only.
  static constexpr uint16_t kExitPort = 0xf4;
  GuestCode& Raw(std::initializer_list<int> bytes);
  GuestCode& Eax(uint32_t value);
  GuestCode& Out8(uint16_t port, uint8_t value);
  GuestCode& Out16(uint16_t port, uint16_t value);
  GuestCode& Out32(uint16_t port, uint32_t value);
  GuestCode& OutAl(uint16_t port);
  GuestCode& In8(uint16_t port);  // into EAX
  GuestCode& TestAl(uint8_t bits);

  uint32_t here() const { return kBase + static_cast<uint32_t>(bytes_.size()); }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  // A kernel of nothing but this: multiboot on x86-64, flat on arm64.
  std::string Kernel() const;

 private:
  void Add32(uint32_t value);
  void SetDx(uint16_t port);
  GuestCode& JumpWith(std::initializer_list<int> opcode, uint32_t to);
  void SetRegister(uint32_t number, uint32_t value);
  GuestCode& BranchIf(uint32_t condition, uint32_t to);
  // Emits the body between a jump and the place it goes to.
  GuestCode& Over(GuestCode& (GuestCode::*jump)(uint32_t),
                  const std::function<void(GuestCode&)>& body);

  std::vector<uint8_t> bytes_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_GUEST_CODE_H_
