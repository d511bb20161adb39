// SPDX-License-Identifier: Apache-2.0
// Exits that a client of the debugger wants to hear of, made by vCPUs of a fake
// machine.
#include "vmm/debug/exit_catches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/vmm/debug/debugger_fixture.h"
#include "vmm/debug/monitor_commands.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ExitCatchesTest : public DebuggerTest {
 protected:
  static ExitCatch Parsed(const std::string& text) {
    const std::vector<std::string> words = absl::StrSplit(text, ' ');
    return ExitCatches::Parse(words).value();
  }
  const KvmVcpu& MmioExit(size_t vcpu, bool write, uint64_t at,
                          uint32_t value) {
    kvm_run& run = target_.vcpu(vcpu).run();
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = at;
    run.mmio.is_write = write;
    run.mmio.len = sizeof(value);
    std::memcpy(run.mmio.data, &value, sizeof(value));
    return target_.vcpu(vcpu);
  }
  const KvmVcpu& IoExit(uint16_t port, uint8_t size, uint32_t count) {
    kvm_run& run = target_.vcpu(0).run();
    run.exit_reason = KVM_EXIT_IO;
    run.io.direction = KVM_EXIT_IO_OUT;
    run.io.port = port;
    run.io.size = size;
    run.io.count = count;
    run.io.data_offset = 3000;
    return target_.vcpu(0);
  }
  // The vCPU's way through an exit: caught, answered, told.
  bool Leave(size_t vcpu) {
    const KvmVcpu& kvm = target_.vcpu(vcpu);
    if (!debugger_->OnDebugCatch(vcpu, kvm)) return false;
    debugger_->OnDebugCaught(vcpu, kvm);
    target_.running_[vcpu] = false;
    debugger_->OnDebugStop(vcpu);
    return true;
  }
  // All that the client was sent.
  std::vector<std::string> Settled() {
    target_.RunPosted();
    RspReader reader;
    const std::string bytes = std::exchange(sent_, {});
    reader.Push(bytes);
    std::vector<std::string> packets;
    while (auto item = reader.Next()) {
      if (item->kind == RspReader::Kind::kPacket) {
        packets.push_back(item->payload);
      }
    }
    return packets;
  }
};

TEST_F(ExitCatchesTest, AnAccessIsCaughtWhereItTouchesTheRange) {
  ExitCatches catches;
  EXPECT_EQ(catches.Find(MmioExit(0, true, 0x1000, 1)), std::nullopt);
  const uint32_t number =
      catches.Add(Parsed("mmio 0x1004-0x1007 write")).value();
  EXPECT_EQ(catches.Find(MmioExit(0, true, 0x1000, 1)), std::nullopt);
  EXPECT_EQ(catches.Find(MmioExit(0, true, 0x1001, 1)), number);
  EXPECT_EQ(catches.Find(MmioExit(0, true, 0x1007, 1)), number);
  EXPECT_EQ(catches.Find(MmioExit(0, true, 0x1008, 1)), std::nullopt);
  EXPECT_EQ(catches.Find(MmioExit(0, false, 0x1004, 1)), std::nullopt);
  EXPECT_EQ(catches.Find(IoExit(0x1004, 1, 1)), std::nullopt);
  // The end of the address space is no beginning.
  EXPECT_EQ(catches.Find(MmioExit(0, true, UINT64_MAX - 1, 1)), std::nullopt);
}

TEST_F(ExitCatchesTest, OthersAreCaughtByTheirReason) {
  ExitCatches catches;
  const uint32_t number = catches.Add(Parsed("system_event")).value();
  kvm_run& run = target_.vcpu(0).run();
  run.exit_reason = KVM_EXIT_SYSTEM_EVENT;
  run.system_event.type = 2;
  EXPECT_EQ(catches.Find(target_.vcpu(0)), number);
  EXPECT_EQ(DescribeExit(target_.vcpu(0)), "system_event of type 2");
  run.exit_reason = KVM_EXIT_HLT;
  EXPECT_EQ(catches.Find(target_.vcpu(0)), std::nullopt);
}

TEST_F(ExitCatchesTest, ManyItemsAreCutAndNoneLiesOutsideTheSharedPage) {
  IoExit(0x80, 2, 3);
  std::memcpy(target_.vcpu(0).RunPage(3000, 6).data(), "\1\2\3\4\5\6", 6);
  EXPECT_EQ(DescribeExit(target_.vcpu(0)),
            "io write of 3 times 2 bytes at 0x80: 0x0201 0x0403 0x0605");
  EXPECT_THAT(DescribeExit(IoExit(0x80, 4, 100)), HasSubstr("00000000 ..."));
  // More than the page has.
  EXPECT_EQ(DescribeExit(IoExit(0x80, 4, 1000)),
            "io write of 1000 times 4 bytes at 0x80:");
  EXPECT_EQ(DescribeExit(IoExit(0x80, 0, 5)),
            "io write of 5 times 0 bytes at 0x80:");
}

TEST_F(ExitCatchesTest, TextIsWhatCanBeTypedAgain) {
  for (const char* text : {"io", "mmio 0x1000", "io 0x3f8-0x3ff write",
                           "mmio read", "system_event"}) {
    EXPECT_EQ(Parsed(text).Text(), text);
  }
}

TEST_F(ExitCatchesTest, ItIsToldWithALineForPeople) {
  (void)debugger_->catches().Add(Parsed("mmio 0x1000"));
  Ask("vCont;c");
  MmioExit(1, true, 0x1000, 0xabcd);
  EXPECT_TRUE(Leave(1));
  const std::vector<std::string> packets = Settled();
  ASSERT_EQ(packets.size(), 2);
  EXPECT_EQ(packets[0],
            absl::StrCat("O", HexOf("catch 1: vCPU 1, mmio write of 4 bytes at "
                                    "0x1000: 0x0000abcd\n")));
  EXPECT_THAT(packets[1], StartsWith("T05thread:2;"));
  EXPECT_THAT(RunMonitorCommand("catch", *debugger_, 0).text,
              HasSubstr("last: catch 1: vCPU 1, mmio write"));
  EXPECT_THAT(Ask("?"), StartsWith("T05thread:2;"));
}

TEST_F(ExitCatchesTest, TwoAtOnceAreToldOneAfterTheOther) {
  (void)debugger_->catches().Add(Parsed("mmio 0x1000"));
  const uint32_t other =
      debugger_->catches().Add(Parsed("mmio 0x2000")).value();
  for (const bool wanted : {true, false}) {
    Ask("vCont;c");
    MmioExit(0, true, 0x1000, 1);
    MmioExit(2, true, 0x2000, 2);
    EXPECT_TRUE(Leave(2));
    EXPECT_TRUE(Leave(0));
    ASSERT_THAT(Settled().back(), StartsWith("T05thread:3;"));
    if (!wanted) debugger_->catches().Remove(1);
    Ask("vCont;c");
    EXPECT_EQ(debugger_->stopped(), wanted);
    if (wanted) {
      EXPECT_THAT(Ask("?"), StartsWith("T05thread:1;"));
    }
  }
  EXPECT_TRUE(debugger_->catches().contains(other));
}

TEST_F(ExitCatchesTest, WhatTheGuestAsksForByItWaitsForTheClient) {
  (void)debugger_->catches().Add(Parsed("mmio 0x1000"));
  int served = 0;
  const auto request = [&served] { ++served; };
  EXPECT_FALSE(debugger_->KeepRequest(0, request));
  Ask("vCont;c");
  MmioExit(0, true, 0x1000, 1);
  ASSERT_TRUE(debugger_->OnDebugCatch(0, target_.vcpu(0)));
  // The device asks before the vCPU has stopped.
  EXPECT_TRUE(debugger_->KeepRequest(0, request));
  debugger_->OnDebugCaught(0, target_.vcpu(0));
  debugger_->OnDebugStop(0);
  ASSERT_THAT(Settled().back(), StartsWith("T05thread:1;"));
  // Another's is its own.
  EXPECT_FALSE(debugger_->KeepRequest(1, request));
  Ask("vCont;s:2");
  EXPECT_EQ(served, 0);
  arch_->events_[1] = {.pc = kCode, .step = true};
  EXPECT_FALSE(debugger_->OnDebugExit(1, target_.vcpu(1)));
  debugger_->OnDebugStop(1);
  ASSERT_THAT(Settled().back(), StartsWith("T05thread:2;"));
  EXPECT_EQ(served, 0);
  Ask("vCont;c");
  EXPECT_EQ(served, 1);
  EXPECT_FALSE(debugger_->KeepRequest(0, request));
}

TEST_F(ExitCatchesTest, AResetMakesTheRequestVoid) {
  (void)debugger_->catches().Add(Parsed("mmio 0x1000"));
  int served = 0;
  Ask("vCont;c");
  MmioExit(0, true, 0x1000, 1);
  ASSERT_TRUE(debugger_->OnDebugCatch(0, target_.vcpu(0)));
  EXPECT_TRUE(debugger_->KeepRequest(0, [&served] { ++served; }));
  debugger_->OnDebugCaught(0, target_.vcpu(0));
  debugger_->OnDebugStop(0);
  ASSERT_THAT(Settled().back(), StartsWith("T05thread:1;"));
  debugger_->OnReset();
  Ask("vCont;c");
  EXPECT_FALSE(debugger_->stopped());
  EXPECT_EQ(served, 0);
  EXPECT_FALSE(debugger_->KeepRequest(0, [&served] { ++served; }));
}

TEST_F(ExitCatchesTest, AStepThatIsUnderWayEndsThere) {
  (void)debugger_->catches().Add(Parsed("mmio 0x1000"));
  Ask("vCont;s:1");
  MmioExit(0, false, 0x1000, 1);
  EXPECT_TRUE(Leave(0));
  // KVM tells of the step as well when it completes the access.
  arch_->events_[0] = {.pc = kCode, .step = true};
  EXPECT_TRUE(debugger_->OnDebugExit(0, target_.vcpu(0)));
  EXPECT_EQ(Settled().size(), 2);
  EXPECT_TRUE(debugger_->stopped());
}

}  // namespace
}  // namespace kvmlet
