// SPDX-License-Identifier: Apache-2.0
// Interrupts from the router into a guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/kvm/guest_fixture.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/exit_status.h"
#include "vmm/kvm/irq_router.h"
#include "vmm/vcpu.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kMsiAddress = 0xfee00000;

// Runs a vCPU on a thread and collects the vectors that its handlers report.
class IrqTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    Vcpu::InstallKickSignal();
    router_ = std::make_unique<IrqRouter>(
        *vm_, IrqRouter::Options{.pins = arch::x86_64::IrqchipRoutes(),
                                 .first_msi_gsi = 24,
                                 .gsi_limit = 32});
    Load(WaitForInterrupts());
    vcpu_ = MakeVcpu(0);
  }
  void TearDown() override {
    if (thread_.joinable()) {
      stop_ = true;
      vcpu_->RequestExit();
      pthread_kill(thread_.native_handle(), SIGRTMIN);
      thread_.join();
    }
    GuestTest::TearDown();
  }
  // Runs it up to where it takes interrupts, and on from there.
  void StartGuest() {
    ASSERT_EQ(vcpu_->Run(), 0);
    ASSERT_EQ(vcpu_->run().exit_reason, static_cast<uint32_t>(KVM_EXIT_IO));
    thread_ = std::thread([this] {
      while (!stop_) {
        if (vcpu_->Run() != 0) continue;
        if (vcpu_->run().exit_reason != KVM_EXIT_IO) {
          ADD_FAILURE() << "exit " << vcpu_->run().exit_reason << " at "
                        << Rip(*vcpu_);
          return;
        }
        const auto& io = vcpu_->run().io;
        if (io.port != kReportPort) continue;
        const std::lock_guard lock(mutex_);
        seen_.push_back(
            std::to_integer<uint8_t>(vcpu_->RunPage(io.data_offset, 1)[0]));
      }
    });
  }
  std::vector<uint8_t> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  bool WaitFor(size_t count) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (seen().size() < count) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  std::unique_ptr<MsiVector> Connect(uint8_t vector) {
    auto msi = *router_->CreateMsi();
    EXPECT_TRUE(msi->Route({.address = kMsiAddress, .data = vector}).ok());
    EXPECT_TRUE(router_->Commit().ok());
    EXPECT_TRUE(msi->Unmask().ok());
    return msi;
  }

  std::unique_ptr<IrqRouter> router_;
  std::unique_ptr<KvmVcpu> vcpu_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<uint8_t> seen_;  // guarded by mutex_
};

TEST_F(IrqTest, ATriggeredVectorReachesTheGuest) {
  const auto msi = Connect(kVector);
  StartGuest();
  msi->Trigger();
  ASSERT_TRUE(WaitFor(1));
  EXPECT_THAT(seen(), ElementsAre(kVector));
  EXPECT_FALSE(msi->Pending());
}

TEST_F(IrqTest, EachVectorHasItsOwnRoute) {
  const auto one = Connect(kVector);
  const auto two = Connect(kVector + 1);
  StartGuest();
  two->Trigger();
  ASSERT_TRUE(WaitFor(1));
  one->Trigger();
  ASSERT_TRUE(WaitFor(2));
  EXPECT_THAT(seen(), ElementsAre(kVector + 1, kVector));
}

TEST_F(IrqTest, AMaskedVectorIsPendingUntilItIsUnmasked) {
  const auto msi = Connect(kVector);
  StartGuest();
  ASSERT_TRUE(msi->Mask().ok());
  msi->Trigger();
  EXPECT_TRUE(msi->Pending());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_THAT(seen(), IsEmpty());
  ASSERT_TRUE(msi->Unmask().ok());
  ASSERT_TRUE(WaitFor(1));
  EXPECT_THAT(seen(), SizeIs(1));
}

TEST_F(IrqTest, APendingTriggerCanBeForgotten) {
  const auto msi = Connect(kVector);
  StartGuest();
  ASSERT_TRUE(msi->Mask().ok());
  msi->Trigger();
  msi->ClearPending();
  EXPECT_FALSE(msi->Pending());
  ASSERT_TRUE(msi->Unmask().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_THAT(seen(), IsEmpty());
}

TEST_F(IrqTest, ANewRouteTakesEffectWithCommit) {
  const auto msi = Connect(kVector);
  StartGuest();
  ASSERT_TRUE(msi->Route({.address = kMsiAddress, .data = kVector + 2}).ok());
  msi->Trigger();
  ASSERT_TRUE(WaitFor(1));
  ASSERT_TRUE(router_->Commit().ok());
  msi->Trigger();
  ASSERT_TRUE(WaitFor(2));
  EXPECT_THAT(seen(), ElementsAre(kVector, kVector + 2));
}

TEST_F(IrqTest, WhoeverHasTheDescriptorTriggers) {
  const auto msi = Connect(kVector);
  StartGuest();
  const uint64_t one = 1;
  ASSERT_EQ(::write(msi->event_fd(), &one, sizeof(one)), 8);
  ASSERT_TRUE(WaitFor(1));
}

TEST_F(IrqTest, NonsenseOfTheGuestDoesNoHarm) {
  auto msi = *router_->CreateMsi();
  for (const uint64_t address :
       {0ull, 0xfee00000ull, 0xfeefffffull, 0x123456789abcdefull, ~0ull}) {
    for (const uint32_t data : {0u, 0xffu, 0xffffffffu}) {
      EXPECT_TRUE(msi->Route({.address = address, .data = data}).ok());
      std::ignore = router_->Commit();
      if (msi->Unmask().ok()) msi->Trigger();
      std::ignore = msi->Mask();
    }
  }
}

// KVM refuses an eventfd that is connected already.
TEST_F(IrqTest, PinsWaitForTheWholeController) {
  IrqRouter router(*vm_, {.pins = arch::x86_64::IrqchipRoutes(),
                          .first_msi_gsi = 24,
                          .complete = false});
  const EventFd trigger = *EventFd::Create();
  const EventFd acknowledged = *EventFd::Create();
  auto level = router.ConnectLevel(5, trigger.get(), acknowledged.get());
  ASSERT_TRUE(level.ok()) << level.status();
  ASSERT_TRUE(vm_->AssignIrqfd(trigger.get(), 5).ok());
  ASSERT_TRUE(vm_->DeassignIrqfd(trigger.get(), 5).ok());
  {
    const EventFd other = *EventFd::Create();
    ASSERT_TRUE(router.ConnectLevel(6, other.get(), acknowledged.get()).ok())
        << "and is let go before";
  }
  ASSERT_TRUE(router.Complete().ok());
  EXPECT_FALSE(vm_->AssignIrqfd(trigger.get(), 5).ok());
  level->reset();
  EXPECT_TRUE(vm_->AssignIrqfd(trigger.get(), 5).ok());
}

TEST_F(IrqTest, RoutesRunOutWithARemedyAndComeBack) {
  std::vector<std::unique_ptr<MsiVector>> vectors;
  for (int i = 0; i < 8; ++i) vectors.push_back(*router_->CreateMsi());
  const auto more = router_->CreateMsi();
  EXPECT_EQ(ExitStatusFor(more.status()), 71);
  vectors.pop_back();
  EXPECT_TRUE(router_->CreateMsi().ok());
}

TEST_F(IrqTest, AVectorThatDiesIsDisconnected) {
  StartGuest();
  for (int i = 0; i < 20; ++i) {
    const auto msi = Connect(kVector);
    msi->Trigger();
    ASSERT_TRUE(WaitFor(static_cast<size_t>(i) + 1));
  }
}

TEST_F(IrqTest, AVectorIsTriggeredFromManyThreadsWhileItIsMasked) {
  const auto msi = Connect(kVector);
  StartGuest();
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      do {
        msi->Trigger();
      } while (!done);
    });
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(msi->Mask().ok());
    EXPECT_TRUE(msi->Unmask().ok());
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(WaitFor(1));
}

TEST_F(IrqTest, AWiredPinReachesTheGuestThroughTheIoApic) {
  // Pin 4 to vector kVector, edge triggered, unmasked; the PICs masked.
  GuestCode code;
  code.Out8(0x21, 0xff).Out8(0xa1, 0xff);
  code.Store32(0xfec00000, 0x18).Store32(0xfec00010, kVector);
  code.Store32(0xfee000f0, 0x1ff).Out8(0x80, 0).Raw({0xfb});
  const uint32_t again = code.here();
  Load(code.Raw({0xf4}).Jump(again));
  const auto line = *router_->CreateLine(4);
  StartGuest();
  line->Pulse();
  ASSERT_TRUE(WaitFor(1));
  line->Set(false);  // twice low is low
  line->Pulse();
  ASSERT_TRUE(WaitFor(2));
  EXPECT_THAT(seen(), ElementsAre(kVector, kVector));
}

}  // namespace
}  // namespace kvmlet
