// SPDX-License-Identifier: Apache-2.0
// Which memory of a device a vCPU can reach, on the real KVM.
#include "vmm/memory_slots.h"

#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "tests/kvm/guest_fixture.h"

namespace kvmlet {
namespace {

class MemorySlotsTest : public GuestTest {
 protected:
  static constexpr uint32_t kBase = 0x20000000;
  static constexpr uint64_t kBlock = 2 << 20;
  static constexpr uint64_t kSlot = 128 << 20;
  static constexpr uint64_t kBlocksOfSlot = kSlot / kBlock;

  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    device_ = &memory_->AddDevice(*DeviceMemory::Create({.flag = "test",
                                                         .base = Gpa{kBase},
                                                         .size = 3 * kSlot,
                                                         .block_size = kBlock,
                                                         .backing = {}}));
    slots_ = std::make_unique<MemorySlots>(*vm_, *device_, *loop_);
    ASSERT_TRUE(device_->AddListener(*slots_).ok());
  }
  // Stores 7 at each address in turn, reporting at a port after each.
  std::unique_ptr<KvmVcpu> Touching(std::initializer_list<uint32_t> addresses) {
    GuestCode code;
    for (const uint32_t address : addresses) {
      code.Store32(address, 7).Out8(0x80, 0);
    }
    Load(code.HaltForEver());
    return MakeVcpu(0);
  }
  static uint32_t Run(KvmVcpu& vcpu) {
    EXPECT_EQ(vcpu.Run(), 0);
    return vcpu.run().exit_reason;
  }

  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  DeviceMemory* device_ = nullptr;
  std::unique_ptr<MemorySlots> slots_;
};

TEST_F(MemorySlotsTest, NothingIsReachableBeforeThePlug) {
  const auto vcpu = Touching({kBase});
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_EQ(slots_->count(), 0u);
}

TEST_F(MemorySlotsTest, APluggedBlockIsMemory) {
  ASSERT_TRUE(device_->Plug(kBlocksOfSlot, 1).ok());
  EXPECT_EQ(slots_->count(), 1u);
  const auto vcpu = Touching({kBase + kSlot, kBase, kBase + 2 * kSlot});
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_IO));
  EXPECT_EQ(memory_->Load<uint32_t>(Gpa{kBase + kSlot}), 7u);
  // The slots on both sides are not there.
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_IO));
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_MMIO));
}

TEST_F(MemorySlotsTest, ASlotGoesSomeTimeAfterItsLastBlock) {
  ASSERT_TRUE(device_->Plug(0, 2).ok());
  ASSERT_TRUE(device_->Unplug(0, 1).ok());
  slots_->RemoveIdle();
  EXPECT_EQ(slots_->count(), 1u);
  ASSERT_TRUE(device_->Unplug(1, 1).ok());
  EXPECT_EQ(slots_->count(), 1u);
  // Until then the memory is the host's scratch, and is counted.
  const auto vcpu = Touching({kBase, kBase + 4});
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_IO));
  EXPECT_FALSE(memory_->Load<uint32_t>(Gpa{kBase}));
  EXPECT_GE(device_->DiscardTouched(), 4096u);
  slots_->RemoveIdle();
  EXPECT_EQ(slots_->count(), 0u);
  EXPECT_EQ(Run(*vcpu), static_cast<uint32_t>(KVM_EXIT_MMIO));
  EXPECT_EQ(device_->DiscardTouched(), 0u);
}

TEST_F(MemorySlotsTest, ManySlotsGoAtOnceByTheTimer) {
  ASSERT_TRUE(device_->Plug(0, 3 * kBlocksOfSlot).ok());
  EXPECT_EQ(slots_->count(), 3u);
  device_->UnplugAll();
  loop_->RunAfter(MemorySlots::kRemoveDelay + std::chrono::milliseconds(50),
                  [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(slots_->count(), 0u);
  ASSERT_TRUE(device_->Plug(0, 1).ok());
  EXPECT_EQ(slots_->count(), 1u);
}

TEST_F(MemorySlotsTest, AGuestThatGrowsAgainFindsItsSlots) {
  ASSERT_TRUE(device_->Plug(0, 3 * kBlocksOfSlot).ok());
  device_->UnplugAll();
  const auto delay = MemorySlots::kRemoveDelay;
  size_t later = 0;
  loop_->RunAfter(delay / 2, [this] { ASSERT_TRUE(device_->Plug(0, 1).ok()); });
  loop_->RunAfter(delay * 5 / 4, [&] { later = slots_->count(); });
  loop_->RunAfter(delay * 7 / 4, [this] { loop_->Stop(); });
  loop_->Run();
  EXPECT_EQ(later, 3u);
  EXPECT_EQ(slots_->count(), 1u);
}

TEST_F(MemorySlotsTest, AGuestThatNeverRestsCannotKeepIdleSlots) {
  ASSERT_TRUE(device_->Plug(0, 3 * kBlocksOfSlot).ok());
  device_->UnplugAll();
  ASSERT_TRUE(device_->Plug(0, 1).ok());
  bool plugged = true;
  std::function<void()> again = [&] {
    ASSERT_TRUE((plugged ? device_->Unplug(0, 1) : device_->Plug(0, 1)).ok());
    plugged = !plugged;
    if (slots_->count() <= 1) return loop_->Stop();
    loop_->RunAfter(MemorySlots::kRemoveDelay / 4, again);
  };
  again();
  bool late = false;
  loop_->RunAfter(2 * MemorySlots::kLongestDelay, [&] {
    late = true;
    loop_->Stop();
  });
  loop_->Run();
  EXPECT_FALSE(late);
}

TEST_F(MemorySlotsTest, ASlotThatKvmRefusesRefusesThePlug) {
  // Somebody else sits in the third slot's range.
  const std::byte* const host = memory_->regions()[0].host;
  ASSERT_TRUE(
      vm_->SetMemorySlot(77, Gpa{kBase + 2 * kSlot}, 4096, host, 0).ok());
  EXPECT_FALSE(device_->Plug(0, 3 * kBlocksOfSlot).ok());
  EXPECT_EQ(device_->plugged_size(), 0u);
  EXPECT_EQ(slots_->count(), 0u);
  EXPECT_TRUE(device_->Plug(0, 2 * kBlocksOfSlot).ok());
}

TEST_F(MemorySlotsTest, NumbersAreUsedAgain) {
  const uint32_t first =
      *vm_->AddMemorySlot(Gpa{0x60000000}, 4096, device_->Part(0, 1).host, 0);
  ASSERT_TRUE(vm_->RemoveMemorySlot(first).ok());
  EXPECT_EQ(
      *vm_->AddMemorySlot(Gpa{0x60000000}, 4096, device_->Part(0, 1).host, 0),
      first);
  // One that is refused takes no number.
  EXPECT_FALSE(
      vm_->AddMemorySlot(Gpa{0x60000000}, 4096, device_->Part(0, 1).host, 0)
          .ok());
}

}  // namespace
}  // namespace kvmlet
