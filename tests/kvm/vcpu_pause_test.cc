// SPDX-License-Identifier: Apache-2.0
// Pausing, resuming and kicking vCPUs, at any moment and from many threads.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/kvm/vcpu_fixture.h"

namespace kvmlet {
namespace {

using VcpuPauseTest = VcpuTest;

TEST_F(VcpuPauseTest, StartsPaused) {
  Load(Writer());
  const auto vcpu = Make();
  vcpu->Start();
  vcpu->WaitPaused();
  EXPECT_EQ(port_.writes, 0u);
  vcpu->Resume();
  EXPECT_TRUE(WaitFor([&] { return port_.writes > 0; }));
}

TEST_F(VcpuPauseTest, NeverStartedItCanDie) {
  Load(Writer());
  const auto vcpu = Make();
}

TEST_F(VcpuPauseTest, DiesWhileTheGuestSpins) {
  Load(Spinner());
  for (uint32_t i = 0; i < 20; ++i) {
    const auto vcpu = Start(i);
  }
}

TEST_F(VcpuPauseTest, DiesWhilePausedAndWhileHalted) {
  Load(GuestCode().HaltForEver());
  const auto halted = Start(0);
  const auto paused = Start(1);
  paused->RequestPause();
  paused->WaitPaused();
}

TEST_F(VcpuPauseTest, ManyPausesOfASpinningGuest) {
  Load(Spinner());
  const auto vcpu = Start();
  for (int i = 0; i < 300; ++i) {
    vcpu->RequestPause();
    vcpu->WaitPaused();
    vcpu->Resume();
  }
}

TEST_F(VcpuPauseTest, NothingLeavesAPausedGuest) {
  Load(Writer());
  const auto vcpu = Start();
  for (int i = 0; i < 300; ++i) {
    vcpu->RequestPause();
    vcpu->WaitPaused();
    const uint64_t before = port_.writes;
    std::this_thread::yield();
    EXPECT_EQ(port_.writes, before);
    vcpu->Resume();
  }
  const uint64_t before = port_.writes;
  EXPECT_TRUE(WaitFor([&] { return port_.writes > before; }));
}

TEST_F(VcpuPauseTest, KicksFromManyThreadsDoNotStopIt) {
  Load(Writer());
  const auto vcpu = Start();
  std::atomic<bool> stop{false};
  std::vector<std::thread> kickers;
  for (int i = 0; i < 3; ++i) {
    kickers.emplace_back([&] {
      while (!stop) {
        vcpu->Kick();
        // Without it the vCPU's thread may never run on a host of one CPU.
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    vcpu->RequestPause();
    vcpu->WaitPaused();
    vcpu->Resume();
  }
  stop = true;
  for (std::thread& kicker : kickers) kicker.join();
  const uint64_t before = port_.writes;
  EXPECT_TRUE(WaitFor([&] { return port_.writes > before; }));
}

TEST_F(VcpuPauseTest, FunctionsRunOnItsThreadWhileItRunsAndWhileItDoesNot) {
  Load(Spinner());
  const auto vcpu = Start();
  for (int i = 0; i < 100; ++i) {
    uint64_t rip = 0;
    std::thread::id ran_on;
    vcpu->RunOnThread([&](KvmVcpu& kvm) {
      rip = Rip(kvm);
      ran_on = std::this_thread::get_id();
    });
    EXPECT_EQ(rip, GuestCode::kBase);
    EXPECT_NE(ran_on, std::this_thread::get_id());
    if (i % 2 == 0) {
      vcpu->RequestPause();
      vcpu->WaitPaused();
    } else {
      vcpu->Resume();
    }
  }
}

TEST_F(VcpuPauseTest, WhileItWaitsFunctionsMayRunOnTheCallersThread) {
  Load(Spinner());
  const auto vcpu = Start();
  for (int i = 0; i < 100; ++i) {
    const bool paused = i % 2 == 1;
    if (paused) {
      vcpu->RequestPause();
      vcpu->WaitPaused();
    }
    uint64_t rip = 0;
    std::thread::id ran_on;
    vcpu->RunOutside([&](KvmVcpu& kvm) {
      rip = Rip(kvm);
      ran_on = std::this_thread::get_id();
    });
    EXPECT_EQ(rip, GuestCode::kBase);
    if (paused) {
      EXPECT_EQ(ran_on, std::this_thread::get_id());
      vcpu->Resume();
    }
  }
}

TEST_F(VcpuPauseTest, HeldByTwoItWaitsForBoth) {
  Load(Writer());
  const auto vcpu = Start();
  for (int i = 0; i < 100; ++i) {
    vcpu->RequestPause();
    vcpu->WaitPaused();
    vcpu->Resume();
    // It may not have noticed yet.
    vcpu->RequestPause();
    vcpu->WaitPaused();
    const uint64_t before = port_.writes;
    vcpu->RequestPause(PausedBy::kDebugger);
    vcpu->WaitPaused();
    vcpu->Resume(PausedBy::kDebugger);
    EXPECT_EQ(port_.writes, before);
    vcpu->Resume();
    EXPECT_TRUE(WaitFor([&] { return port_.writes > before; }));
  }
}

TEST_F(VcpuPauseTest, FunctionsOfSeveralThreadsTakeTurns) {
  Load(Spinner());
  const auto vcpu = Start();
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        vcpu->RunOnThread([&count](KvmVcpu&) { ++count; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 150);
}

TEST_F(VcpuPauseTest, AnAccessIsFinishedBeforeTheRegistersAreRead) {
  // The device's answer must be in EAX, and EIP behind the instruction.
  std::atomic<bool> read{false};
  port_.on_read = [&](uint64_t, std::span<std::byte> data) {
    data[0] = std::byte{0x5a};
    read = true;
    hold_ = true;
  };
  GuestCode code;
  code.In8(kPort);
  const uint32_t behind = code.here();
  Load(code.HaltForEver());
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return read.load(); }));
  vcpu->WaitPaused();
  vcpu->RunOnThread([behind](KvmVcpu& kvm) {
    const kvm_regs regs = *kvm.fd().Get(arch::x86_64::kGetRegs);
    EXPECT_EQ(regs.rip, behind);
    EXPECT_EQ(regs.rax & 0xff, 0x5au);
  });
}

TEST_F(VcpuPauseTest, SixtyFourPauseAndResumeTogether) {
  Load(GuestCode().Increment(0x200000).HaltForEver());
  std::vector<std::unique_ptr<Vcpu>> vcpus;
  for (uint32_t i = 0; i < 64; ++i) vcpus.push_back(Start(i));
  EXPECT_TRUE(WaitFor(
      [&] { return memory_->Load<uint32_t>(Gpa{0x200000}).value_or(0) > 0; }));
  for (int i = 0; i < 5; ++i) {
    for (const auto& vcpu : vcpus) vcpu->RequestPause();
    for (const auto& vcpu : vcpus) vcpu->WaitPaused();
    for (const auto& vcpu : vcpus) vcpu->Resume();
  }
}

}  // namespace
}  // namespace kvmlet
