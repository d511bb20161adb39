// SPDX-License-Identifier: Apache-2.0
// Who hears of a SIGBUS. The errors of memory are made up: a process may send
// itself what the kernel would; the end of a file is real.
#include "vmm/memory/bus_errors.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include "tests/fakes/real_madvise.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/mapped_region.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet {
namespace {

// As the kernel sends it to this thread.
void RaiseBusError(int code, const void* at, short bits = 12) {
  siginfo_t info{};
  info.si_signo = SIGBUS;
  info.si_code = code;
  info.si_addr = const_cast<void*>(at);
  info.si_addr_lsb = bits;
  ASSERT_EQ(::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::syscall(SYS_gettid),
                      SIGBUS, &info),
            0);
}

// After a jump out of a handler ThreadSanitizer holds later signals back.
#ifdef __SANITIZE_THREAD__
constexpr bool kOneSignalOnly = true;
#else
constexpr bool kOneSignalOnly = false;
#endif

class BusErrorsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!MadviseIsReal()) {
      GTEST_SKIP() << "signals lose their addresses here: an emulator of user "
                      "programs";
    }
    event_.emplace(*EventFd::Create());
    ASSERT_TRUE(BusErrors::Install(event_->get()).ok());
  }
  void TearDown() override {
    if (event_) BusErrors::Uninstall();
  }

  std::array<std::byte, 64> bytes_{};
  std::optional<EventFd> event_;
};

TEST_F(BusErrorsTest, AnAccessWithoutErrorsIsDone) {
  EXPECT_TRUE(Guarded([&] { std::memset(bytes_.data(), 7, bytes_.size()); }));
  EXPECT_EQ(bytes_[63], std::byte{7});
  EXPECT_FALSE(BusErrors::Take());
  EXPECT_FALSE(event_->Consume());
}

TEST_F(BusErrorsTest, AGuardedAccessFailsAndTheLoopHearsOfThePage) {
  EXPECT_FALSE(Guarded([&] { RaiseBusError(BUS_MCEERR_AR, &bytes_); }));
  EXPECT_TRUE(event_->Consume());
  const std::optional<BusError> error = BusErrors::Take();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->at, bytes_.data());
  EXPECT_EQ(error->size, 4096u);
  EXPECT_FALSE(error->action_required);
  EXPECT_FALSE(BusErrors::Take());
}

TEST_F(BusErrorsTest, GuardsWorkAgainAndAgainAndInsideEachOther) {
  if (kOneSignalOnly) GTEST_SKIP() << "ThreadSanitizer keeps signals back";
  for (int round = 0; round < 3; ++round) {
    bool after = false;
    EXPECT_TRUE(Guarded([&] {
      EXPECT_FALSE(Guarded([&] { RaiseBusError(BUS_MCEERR_AR, &bytes_); }));
      after = true;
    }));
    EXPECT_TRUE(after);
  }
  EXPECT_FALSE(Guarded([&] {
    EXPECT_TRUE(Guarded([] {}));
    RaiseBusError(BUS_MCEERR_AR, &bytes_);
  }));
}

TEST_F(BusErrorsTest, AGuestHearsOfItsOwn) {
  std::optional<BusError> error;
  {
    const GuestEntry entry(error);
    RaiseBusError(BUS_MCEERR_AR, &bytes_, 21);
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(error->at, bytes_.data());
  EXPECT_EQ(error->size, 2u << 20);
  EXPECT_TRUE(error->action_required);
  EXPECT_FALSE(BusErrors::Take());
}

TEST_F(BusErrorsTest, WhatAScrubberFoundIsTheLoops) {
  std::optional<BusError> error;
  {
    const GuestEntry entry(error);
    EXPECT_TRUE(Guarded([&] { RaiseBusError(BUS_MCEERR_AO, &bytes_); }));
  }
  EXPECT_FALSE(error);
  ASSERT_TRUE(BusErrors::Take());
}

TEST_F(BusErrorsTest, EveryThreadHasItsOwnGuard) {
  EXPECT_TRUE(Guarded([&] {
    std::thread([&] {
      EXPECT_FALSE(Guarded([&] { RaiseBusError(BUS_MCEERR_AR, &bytes_); }));
    }).join();
  }));
}

TEST_F(BusErrorsTest, AStormFillsTheQueueAndNoMore) {
  for (int i = 0; i < 1000; ++i) RaiseBusError(BUS_MCEERR_AO, &bytes_);
  int taken = 0;
  while (BusErrors::Take()) ++taken;
  EXPECT_EQ(taken, 64);
  RaiseBusError(BUS_MCEERR_AO, &bytes_);
  EXPECT_TRUE(BusErrors::Take());
}

// By SIGBUS, or by whatever a sanitizer makes of it.
TEST_F(BusErrorsTest, MemoryOfTheMonitorsOwnIsTheEnd) {
  EXPECT_DEATH(RaiseBusError(BUS_MCEERR_AR, &bytes_),
               "has lost memory of kvmlet's own");
}

TEST_F(BusErrorsTest, SomebodyElsesSignalIsTheEndToo) {
  EXPECT_DEATH(::raise(SIGBUS), "");
}

TEST_F(BusErrorsTest, AFileThatWasCutIsAnErrorOfTheAccess) {
  if (kOneSignalOnly) GTEST_SKIP() << "ThreadSanitizer keeps signals back";
  const RamRange range{Gpa{0}, 1 << 20};
  const absl::StatusOr<GuestMemory> memory = GuestMemory::Create(
      {&range, 1}, {.kind = BackingKind::kMemfd, .shared = true});
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_TRUE(memory->Store(Gpa{0x80000}, uint64_t{1}));
  ASSERT_EQ(::ftruncate(memory->fd(), 0x80000), 0);
  EXPECT_FALSE(memory->Load<uint64_t>(Gpa{0x80000}));
  EXPECT_FALSE(memory->Store(Gpa{0x80000}, uint64_t{1}));
  EXPECT_FALSE(memory->Zero(Gpa{0x7f000}, 0x2000));
  EXPECT_FALSE(memory->LoadAcquire16(Gpa{0x80000}));
  EXPECT_FALSE(memory->StoreRelease16(Gpa{0x80000}, 1));
  EXPECT_TRUE(memory->Store(Gpa{0x7f000}, uint64_t{1}));
}

TEST(FindTest, AHostAddressIsTheGuests) {
  const RamRange ranges[] = {{Gpa{0}, 0x4000}, {Gpa{0x100000}, 0x4000}};
  const absl::StatusOr<GuestMemory> memory = GuestMemory::Create(ranges, {});
  ASSERT_TRUE(memory.ok()) << memory.status();
  for (const RamRegion& region : memory->regions()) {
    EXPECT_EQ(memory->Find(region.host), region.base);
    EXPECT_EQ(memory->Find(region.host + 0x3fff), region.base + 0x3fff);
    EXPECT_NE(memory->Find(region.host + 0x4000), region.base + 0x4000);
  }
  const std::byte own{};
  EXPECT_FALSE(memory->Find(&own));
}

}  // namespace
}  // namespace kvmlet
