// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exit_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "tests/vmm/exits/trace_file.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;

using ExitTraceTest = TraceFileTest;

TEST(ExitTraceFormatTest, CapacityFillsTheSizeAndNoMore) {
  for (const uint64_t vcpus : {1u, 2u, 3u, 254u, 4096u}) {
    for (const uint64_t bytes :
         {uint64_t{64} << 20, kExitTraceMostBytes, uint64_t{33} << 20}) {
      const uint64_t capacity = ExitTraceCapacity(bytes, vcpus);
      ASSERT_GT(capacity, 0u) << vcpus;
      EXPECT_LE(ExitTraceBytes(vcpus, capacity), bytes);
      EXPECT_GT(ExitTraceBytes(vcpus, capacity + 1) + vcpus * kExitTracePage,
                bytes);
    }
  }
  EXPECT_EQ(ExitTraceCapacity(0, 1), 0u);
  EXPECT_EQ(ExitTraceCapacity(ExitTraceBytes(3, 1) - 1, 3), 0u);
  EXPECT_GT(ExitTraceCapacity(ExitTraceBytes(3, 1), 3), 0u);
}

TEST_F(ExitTraceTest, WhatWasWrittenIsRead) {
  Create(2);
  Exit(Port(0x3f8));
  Exit(Mmio(0x3f'fe00'1004), 1);
  kvm_run event{};
  event.exit_reason = KVM_EXIT_SYSTEM_EVENT;
  event.system_event.type = KVM_SYSTEM_EVENT_RESET;
  Exit(event, 1);
  kvm_run unknown{};
  unknown.exit_reason = 5000;
  Exit(unknown);
  End();
  const ExitTraceData data = Read();
  EXPECT_NE(data.end, 0u);
  EXPECT_GT(data.realtime, 0u);
  ASSERT_EQ(data.vcpus.size(), 2u);
  EXPECT_EQ(data.vcpus[0].exits, 2u);
  EXPECT_EQ(data.vcpus[0].lost, 0u);
  EXPECT_EQ(data.vcpus[1].totals[KVM_EXIT_MMIO].count, 1u);
  ASSERT_EQ(data.exits.size(), 4u);
  const TracedExit& port = data.exits[0];
  EXPECT_EQ(port.reason, KVM_EXIT_IO);
  EXPECT_TRUE(port.write);
  EXPECT_EQ(port.size, 2);
  EXPECT_EQ(port.detail, 0x3f8u | 3u << 16);
  EXPECT_EQ(data.exits[1].reason, kExitReasons - 1);
  const TracedExit& mmio = data.exits[2];
  EXPECT_EQ(mmio.vcpu, 1u);
  EXPECT_FALSE(mmio.write);
  EXPECT_EQ(mmio.detail, 0x3f'fe00'1004u);
  EXPECT_EQ(data.exits[3].detail, uint64_t{KVM_SYSTEM_EVENT_RESET});
  EXPECT_GE(data.exits[3].time, mmio.time);
}

TEST_F(ExitTraceTest, TimesAreTheMonitorsAndTheGuests) {
  Create();
  ExitRecorder& recorder = trace_->recorder(0);
  const auto wait = [](int ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  };
  recorder.Enter();
  wait(20);
  recorder.Interrupted();
  wait(20);
  recorder.Exit(Port(1));
  wait(5);
  recorder.Handled();
  // Time outside of both is nobody's.
  wait(1000);
  recorder.Enter();
  recorder.Exit(Port(2));
  recorder.Handled();
  const ExitTotals totals = recorder.Totals(KVM_EXIT_IO);
  End();
  const ExitTraceData data = Read();
  ASSERT_EQ(data.exits.size(), 2u);
  EXPECT_GE(data.exits[0].guest, 40'000'000u);
  EXPECT_GE(data.exits[0].monitor, 5'000'000u);
  EXPECT_GE(data.exits[0].time, 40'000'000u);
  EXPECT_GE(data.exits[1].time, data.exits[0].time + 1'000'000'000);
  EXPECT_LT(data.exits[1].guest, 1'000'000'000u);
  EXPECT_EQ(totals.count, 2u);
  EXPECT_EQ(totals.guest, uint64_t{data.exits[0].guest} + data.exits[1].guest);
  EXPECT_EQ(totals.guest_max, data.exits[0].guest);
  EXPECT_EQ(totals.monitor,
            uint64_t{data.exits[0].monitor} + data.exits[1].monitor);
  EXPECT_GE(totals.monitor_max, data.exits[0].monitor);
}

TEST_F(ExitTraceTest, AFullRingKeepsTheNewest) {
  Create();
  const uint16_t exits = 3 * kCapacity + 7;
  for (uint16_t i = 0; i < exits; ++i) Exit(Port(i));
  End();
  const ExitTraceData data = Read();
  EXPECT_EQ(data.vcpus[0].exits, exits);
  EXPECT_EQ(data.vcpus[0].lost, exits - kCapacity);
  EXPECT_EQ(data.vcpus[0].totals[KVM_EXIT_IO].count, exits);
  ASSERT_EQ(data.exits.size(), kCapacity);
  for (size_t i = 0; i < kCapacity; ++i) {
    EXPECT_EQ(data.exits[i].detail & 0xffff, exits - kCapacity + i);
  }
}

TEST_F(ExitTraceTest, ARunningMachinesFileIsRead) {
  Create();
  for (uint16_t i = 0; i < 5; ++i) Exit(Port(i));
  ExitTraceData data = Read();
  EXPECT_EQ(data.end, 0u);
  EXPECT_EQ(data.exits.size(), 5u);
  for (uint16_t i = 0; i < kCapacity; ++i) Exit(Port(i));
  // The oldest may be half overwritten.
  data = Read();
  EXPECT_EQ(data.exits.size(), kCapacity - 1);
  EXPECT_EQ(data.vcpus[0].lost, 6u);
  EXPECT_EQ(data.exits[0].detail & 0xffff, 1u);
}

TEST_F(ExitTraceTest, RecordsOvertakenWhileTheFileIsReadAreLeftOut) {
  Create();
  for (uint16_t i = 0; i < 10; ++i) Exit(Port(i));
  const std::vector<std::byte> bytes = Bytes();
  const std::vector<uint64_t> later{kCapacity + 3};
  const auto data = ParseExitTrace(bytes, later);
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->exits.size(), 6u);
  EXPECT_EQ(data->exits[0].detail & 0xffff, 4u);
  const std::vector<uint64_t> far{UINT64_MAX};
  EXPECT_TRUE(ParseExitTrace(bytes, far)->exits.empty());
}

TEST_F(ExitTraceTest, WhatNoRecordUsedGoesBackToTheDisk) {
  const auto on_disk = [this] {
    struct stat st {};
    EXPECT_EQ(::stat(path_.c_str(), &st), 0);
    return st.st_blocks * 512;
  };
  auto trace = ExitTrace::Create(path_, 16 << 20, 2);
  ASSERT_TRUE(trace.ok()) << trace.status();
  trace_ = *std::move(trace);
  if (on_disk() < 15 << 20) GTEST_SKIP() << "this file system counts later";
  Exit(Port(1));
  Exit(Port(2), 1);
  End();
  if (on_disk() > 15 << 20) GTEST_SKIP() << "this file system keeps it";
  EXPECT_LT(on_disk(), 1 << 20);
  EXPECT_EQ(Read().exits.size(), 2u);
}

TEST_F(ExitTraceTest, AnOlderFileIsReplacedAndItsOwnersGoOn) {
  Create();
  const std::unique_ptr<ExitTrace> older = std::move(trace_);
  Create();
  older->recorder(0).Exit(Port(1));
  older->recorder(0).Handled();
  End();
  EXPECT_EQ(Read().exits.size(), 0u);
}

TEST_F(ExitTraceTest, FileOfAnotherKindIsLeftAlone) {
  std::ofstream(path_) << "somebody's disk";
  const auto trace = ExitTrace::Create(path_, 1 << 20, 1);
  EXPECT_THAT(std::string(trace.status().message()), HasSubstr("is no trace"));
  EXPECT_EQ(ExitStatusFor(trace.status()), 65);
  std::ifstream file(path_);
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "somebody's disk");
}

TEST_F(ExitTraceTest, OnlyARegularFileIsReplaced) {
  const auto folder = ExitTrace::Create(folder_, 1 << 20, 1);
  EXPECT_THAT(std::string(folder.status().message()),
              HasSubstr("not a regular file"));
  EXPECT_EQ(ExitStatusFor(folder.status()), 65);
  std::filesystem::create_symlink("/dev/null", path_);
  EXPECT_FALSE(ExitTrace::Create(path_, 1 << 20, 1).ok());
  const auto nowhere = ExitTrace::Create(folder_ + "/no/trace", 1 << 20, 1);
  EXPECT_THAT(std::string(nowhere.status().message()),
              HasSubstr("--trace-exits " + folder_ + "/no/trace: "));
  EXPECT_EQ(ExitStatusFor(nowhere.status()), 66);
}

}  // namespace
}  // namespace kvmlet
