// SPDX-License-Identifier: Apache-2.0
// An assembler of a dozen instructions for guests of a few bytes: 32-bit
// protected mode without paging, plain integer instructions only, because some
// hosts emulate ring 0. The same bytes run in this process, or as a kernel for
// the monitor's program.
#ifndef KVMLET_TESTS_KVM_GUEST_CODE_H_
#define KVMLET_TESTS_KVM_GUEST_CODE_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kvmlet {

class GuestCode {
 public:
  // Where the first byte runs, also as a kernel.
  static constexpr uint32_t kBase = 0x100020;
  static constexpr uint16_t kExitPort = 0xf4;
  static constexpr uint16_t kCom1 = 0x3f8;
  static constexpr uint16_t kCom1Lsr = 0x3fd;
  // Nobody has it.
  static constexpr uint32_t kUnclaimed = 0xf8000000;

  GuestCode& Raw(std::initializer_list<int> bytes);
  GuestCode& Eax(uint32_t value);
  GuestCode& Out8(uint16_t port, uint8_t value);
  GuestCode& Out16(uint16_t port, uint16_t value);
  GuestCode& Out32(uint16_t port, uint32_t value);
  GuestCode& OutAl(uint16_t port);
  GuestCode& In8(uint16_t port);        // into AL
  GuestCode& Load32(uint32_t address);  // into EAX
  GuestCode& Store8(uint32_t address, uint8_t value);
  GuestCode& Store32(uint32_t address, uint32_t value);
  GuestCode& CompareAl(uint8_t value);
  GuestCode& TestAl(uint8_t bits);
  GuestCode& CompareEax(uint32_t value);
  GuestCode& Increment(uint32_t address);  // the 32 bits there
  // Jumps go to an address that here() gave.
  GuestCode& Jump(uint32_t to);
  GuestCode& JumpIfEqual(uint32_t to);
  GuestCode& JumpIfNotEqual(uint32_t to);
  GuestCode& Print(std::string_view text);
  GuestCode& Exit(uint32_t status);
  GuestCode& HaltForEver();  // interrupts off

  uint32_t here() const { return kBase + static_cast<uint32_t>(bytes_.size()); }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  // A multiboot kernel of nothing but this.
  std::string Kernel() const;

 private:
  void Add32(uint32_t value);
  void SetDx(uint16_t port);
  GuestCode& JumpWith(std::initializer_list<int> opcode, uint32_t to);

  std::vector<uint8_t> bytes_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_GUEST_CODE_H_
