// SPDX-License-Identifier: Apache-2.0
// A virtual machine of 4 MiB in this process, with the in-kernel interrupt
// controllers, whose vCPUs run GuestCode in 32-bit protected mode. Interrupt
// vectors kVector and up report themselves to kReportPort.
#ifndef KVMLET_TESTS_KVM_GUEST_FIXTURE_H_
#define KVMLET_TESTS_KVM_GUEST_FIXTURE_H_

#include <linux/kvm.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "arch/x86_64/irqchip.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"
#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvm_required.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/kvm/kvm_vm.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {

class GuestTest : public KvmRequired {
 protected:
  static constexpr uint64_t kSize = 4 << 20;
  static constexpr uint8_t kVector = 0x41;
  static constexpr uint16_t kReportPort = 0x99;

  void SetUp() override {
    KvmRequired::SetUp();
    if (IsSkipped()) return;
    system_.emplace(*KvmSystem::Open());
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, kSize}};
    memory_.emplace(*GuestMemory::Create(ranges, {}));
    vm_ = *KvmVm::Create(*system_);
    ASSERT_TRUE(vm_->MapMemory(*memory_).ok());
    ASSERT_TRUE(
        vm_->fd()
            .Set(arch::x86_64::kSetIdentityMap, arch::x86_64::kIdentityMap)
            .ok());
    ASSERT_TRUE(vm_->fd().Call(arch::x86_64::kSetTss, arch::x86_64::kTss).ok());
    ASSERT_TRUE(arch::x86_64::CreateIrqchip(*vm_).ok());
    WriteTables();
  }

  void Load(const GuestCode& code) const {
    ASSERT_TRUE(memory_->Write(Gpa{GuestCode::kBase},
                               std::as_bytes(std::span(code.bytes()))));
  }
  // A vCPU about to run the code.
  std::unique_ptr<KvmVcpu> MakeVcpu(uint32_t id) const {
    absl::StatusOr<std::unique_ptr<KvmVcpu>> vcpu = vm_->CreateVcpu(id);
    EXPECT_TRUE(vcpu.ok()) << vcpu.status();
    if (!vcpu.ok()) return nullptr;
    kvm_sregs sregs = *(*vcpu)->fd().Get(arch::x86_64::kGetSregs);
    kvm_regs regs{};
    arch::x86_64::BootRegisters(
        {.protocol = arch::x86_64::BootProtocol::kMultiboot,
         .rip = Gpa{GuestCode::kBase},
         .info = Gpa{0}},
        regs, sregs);
    regs.rsp = kStack - 0x100 * id;
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 4 * 8 - 1;
    sregs.idt.base = kIdt;
    sregs.idt.limit = 256 * 8 - 1;
    EXPECT_TRUE((*vcpu)->fd().Set(arch::x86_64::kSetSregs, sregs).ok());
    EXPECT_TRUE((*vcpu)->fd().Set(arch::x86_64::kSetRegs, regs).ok());
    const kvm_mp_state runnable{.mp_state = KVM_MP_STATE_RUNNABLE};
    EXPECT_TRUE((*vcpu)->fd().Set(arch::x86_64::kSetMpState, runnable).ok());
    return *std::move(vcpu);
  }
  static uint64_t Rip(const KvmVcpu& vcpu) {
    return vcpu.fd().Get(arch::x86_64::kGetRegs)->rip;
  }
  // Software-enables the local APIC, says so at port 0x80, and takes
  // interrupts, halted, for ever.
  static GuestCode WaitForInterrupts() {
    GuestCode code;
    code.Store32(0xfee000f0, 0x1ff).Out8(0x80, 0).Raw({0xfb});  // sti
    const uint32_t again = code.here();
    return code.Raw({0xf4}).Jump(again);
  }

  std::optional<KvmSystem> system_;
  std::optional<GuestMemory> memory_;
  std::unique_ptr<KvmVm> vm_;

 private:
  static constexpr uint64_t kGdt = 0x1000;
  static constexpr uint64_t kIdt = 0x2000;
  static constexpr uint64_t kHandlers = 0x3000;
  static constexpr uint64_t kStack = 0x80000;

  // Segments as BootRegisters loads them, and a gate for every vector from
  // kVector on: out kReportPort, end of interrupt.
  void WriteTables() const {
    const std::array<uint64_t, 4> gdt{0, 0, 0x00cf9b000000ffff,
                                      0x00cf93000000ffff};
    ASSERT_TRUE(memory_->Store(Gpa{kGdt}, gdt));
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t handler = static_cast<uint32_t>(kHandlers) + i * 64;
      const uint64_t gate = (handler & 0xffff) | 0x10u << 16 | 0x8eull << 40 |
                            static_cast<uint64_t>(handler >> 16) << 48;
      ASSERT_TRUE(memory_->Store(Gpa{kIdt + 8 * (kVector + i)}, gate));
      GuestCode code;
      code.Out8(kReportPort, static_cast<uint8_t>(kVector + i));
      // KVM's emulator has no iret: a fresh stack, and wait for the next.
      code.Store32(0xfee000b0, 0).Raw({0xbc, 0x00, 0x00, 0x08, 0x00, 0xfb});
      const uint32_t again = code.here();
      code.Raw({0xf4}).Jump(again);
      ASSERT_TRUE(
          memory_->Write(Gpa{handler}, std::as_bytes(std::span(code.bytes()))));
    }
  }
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_GUEST_FIXTURE_H_
