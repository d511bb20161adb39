// SPDX-License-Identifier: Apache-2.0
// The thin layer over KVM's ioctls, against the real one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/kvm/guest_fixture.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

using KvmVmTest = GuestTest;

uint32_t IoData(KvmVcpu& vcpu) {
  const auto& io = vcpu.run().io;
  uint32_t value = 0;
  const auto data = vcpu.RunPage(io.data_offset, io.size);
  std::memcpy(&value, data.data(), std::min<size_t>(data.size(), 4));
  return value;
}

TEST(KvmSystemTest, AMissingDeviceNamesTheRemedy) {
  const auto system = KvmSystem::Open("/dev/no-such-kvm");
  EXPECT_EQ(ExitStatusFor(system.status()), 69);
  EXPECT_THAT(std::string(system.status().message()), HasSubstr("kvm_intel"));
}

TEST(KvmSystemTest, AnotherDeviceIsNoKvm) {
  const auto system = KvmSystem::Open("/dev/null");
  EXPECT_EQ(ExitStatusFor(system.status()), 69);
  EXPECT_THAT(std::string(system.status().message()), HasSubstr("/dev/null"));
}

TEST_F(KvmVmTest, CapabilitiesAreNamedWhenTheyAreMissing) {
  EXPECT_TRUE(
      system_->Require(KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY").ok());
  const absl::Status status = system_->Require(99'999, "KVM_CAP_NONE");
  EXPECT_EQ(ExitStatusFor(status), 69);
  EXPECT_THAT(std::string(status.message()), HasSubstr("KVM_CAP_NONE"));
  EXPECT_GE(system_->max_vcpus(), 4u);
}

TEST_F(KvmVmTest, RequestsAreNamedInErrors) {
  const absl::Status status = vm_->EnableCapability(99'999, 0, "KVM_CAP_NONE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("KVM_CAP_NONE"));
  EXPECT_THAT(std::string(vm_->CreateVcpu(1 << 20).status().message()),
              HasSubstr("KVM_CREATE_VCPU"));
}

TEST_F(KvmVmTest, PortsOfEveryWidthLeaveTheGuest) {
  Load(GuestCode()
           .Out8(0x80, 0x11)
           .Out16(0x81, 0x2222)
           .Out32(0x82, 0x33333333)
           .HaltForEver());
  const auto vcpu = MakeVcpu(0);
  const uint32_t expected[] = {0x11, 0x2222, 0x33333333};
  for (uint16_t i = 0; i < 3; ++i) {
    ASSERT_EQ(vcpu->Run(), 0);
    ASSERT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_IO));
    EXPECT_EQ(vcpu->run().io.port, 0x80 + i);
    EXPECT_EQ(vcpu->run().io.size, 1 << i);
    EXPECT_EQ(IoData(*vcpu), expected[i]);
  }
}

TEST_F(KvmVmTest, DataBeyondTheRunPageIsNone) {
  const auto vcpu = MakeVcpu(0);
  EXPECT_TRUE(vcpu->RunPage(1 << 20, 1).empty());
  EXPECT_TRUE(vcpu->RunPage(0, UINT64_MAX).empty());
  EXPECT_TRUE(vcpu->RunPage(UINT64_MAX, 2).empty());
  EXPECT_EQ(vcpu->RunPage(0, 16).size(), 16u);
}

TEST_F(KvmVmTest, AnExitRequestStaysUntilItIsCleared) {
  Load(GuestCode().Out8(0x80, 1).HaltForEver());
  const auto vcpu = MakeVcpu(0);
  vcpu->RequestExit();
  EXPECT_EQ(vcpu->Run(), EINTR);
  EXPECT_EQ(vcpu->Run(), EINTR);
  vcpu->ClearExitRequest();
  EXPECT_EQ(vcpu->Run(), 0);
}

TEST_F(KvmVmTest, APendingReadIsCompletedWithoutRunningOn) {
  Load(GuestCode().In8(0x80).Out8(0x81, 1).HaltForEver());
  const auto vcpu = MakeVcpu(0);
  ASSERT_EQ(vcpu->Run(), 0);
  ASSERT_EQ(vcpu->run().io.direction, KVM_EXIT_IO_IN);
  const uint64_t before = Rip(*vcpu);
  vcpu->RunPage(vcpu->run().io.data_offset, 1)[0] = std::byte{0x5a};
  EXPECT_FALSE(vcpu->CompletePendingAccess());
  EXPECT_EQ(vcpu->fd().Get(arch::x86_64::kGetRegs)->rax & 0xff, 0x5au);
  EXPECT_GE(Rip(*vcpu), before);
}

TEST_F(KvmVmTest, SlotsCanBeAddedReplacedAndRemoved) {
  constexpr uint32_t kBase = 0x10000000;
  const auto page = MappedRegion::Map(4096, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_TRUE(page.ok());
  ASSERT_TRUE(vm_->SetMemorySlot(7, Gpa{kBase}, 4096, page->data(), 0).ok());
  GuestCode code;
  code.Store32(kBase, 0xcafe).Out8(0x80, 0).Store32(kBase, 0xbeef);
  Load(code.HaltForEver());
  const auto vcpu = MakeVcpu(0);
  ASSERT_EQ(vcpu->Run(), 0);
  uint32_t value = 0;
  std::memcpy(&value, page->data(), sizeof(value));
  EXPECT_EQ(value, 0xcafeu);
  // Without the slot the same store leaves the guest.
  ASSERT_TRUE(vm_->SetMemorySlot(7, Gpa{kBase}, 0, page->data(), 0).ok());
  ASSERT_EQ(vcpu->Run(), 0);
  ASSERT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_EQ(vcpu->run().mmio.phys_addr, kBase);
  EXPECT_EQ(vcpu->run().mmio.len, 4u);
}

TEST_F(KvmVmTest, SlotsThatOverlapAreRefused) {
  const absl::Status status =
      vm_->SetMemorySlot(9, Gpa{0}, 4096, memory_->regions()[0].host, 0);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("KVM_SET_USER_MEMORY_REGION"));
}

TEST_F(KvmVmTest, ADoorbellTakesEveryWidthInsideTheKernel) {
  const uint32_t kBell = GuestCode::kUnclaimed;
  const EventFd event = *EventFd::Create();
  ASSERT_TRUE(vm_->Attach(kBell, event.get()).ok());
  Load(GuestCode()
           .Store8(kBell, 1)
           .Out8(0x80, 0)
           .Store32(kBell, 77)
           .Out8(0x80, 0)
           .Store32(kBell, 78)
           .HaltForEver());
  const auto vcpu = MakeVcpu(0);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(vcpu->Run(), 0);
    ASSERT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_IO));
    EXPECT_TRUE(event.Consume());
  }
  ASSERT_TRUE(vm_->Detach(kBell, event.get()).ok());
  ASSERT_EQ(vcpu->Run(), 0);
  EXPECT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_FALSE(event.Signalled());
}

TEST_F(KvmVmTest, TheSameDoorbellTwiceIsRefused) {
  const EventFd event = *EventFd::Create();
  ASSERT_TRUE(vm_->Attach(0xf8000000, event.get()).ok());
  EXPECT_THAT(std::string(vm_->Attach(0xf8000000, event.get()).message()),
              HasSubstr("KVM_IOEVENTFD"));
  EXPECT_FALSE(vm_->Detach(0xf8001000, event.get()).ok());
}

TEST_F(KvmVmTest, SixtyFourVcpus) {
  Load(GuestCode().Out8(0x80, 1).HaltForEver());
  std::vector<std::unique_ptr<KvmVcpu>> vcpus;
  for (uint32_t i = 0; i < 64; ++i) vcpus.push_back(MakeVcpu(i));
  for (const auto& vcpu : vcpus) {
    ASSERT_NE(vcpu, nullptr);
    ASSERT_EQ(vcpu->Run(), 0);
    EXPECT_EQ(vcpu->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_IO));
  }
}

TEST_F(KvmVmTest, TheInterruptControllersCanBeReset) {
  EXPECT_TRUE(arch::x86_64::ResetIrqchip(*vm_).ok());
  EXPECT_TRUE(arch::x86_64::ResetIrqchip(*vm_).ok());
}

}  // namespace
}  // namespace kvmlet
