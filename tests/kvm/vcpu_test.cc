// SPDX-License-Identifier: Apache-2.0
// What a vCPU's thread does with the guest's exits.
#include "vmm/vcpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/kvm/vcpu_fixture.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST_F(VcpuTest, PortsAndMemoryReachTheirBuses) {
  std::vector<std::pair<uint64_t, uint64_t>> ports;
  std::vector<std::pair<uint64_t, uint64_t>> memory;
  std::atomic<bool> done{false};
  port_.on_write = [&](uint64_t offset, std::span<const std::byte> data) {
    ports.emplace_back(offset, LoadLe(data));
    done = offset == 15;
  };
  window_.on_write = [&](uint64_t offset, std::span<const std::byte> data) {
    memory.emplace_back(offset, LoadLe(data));
  };
  Load(GuestCode()
           .Out16(kPort + 2, 0x1234)
           .Store8(kMmio + 0x100, 0x56)
           .Store32(kMmio + 0xffc, 0x789abcde)
           .Out8(kPort + 15, 0)
           .HaltForEver());
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return done.load(); }));
  EXPECT_THAT(ports, ElementsAre(Pair(2, 0x1234), Pair(15, 0)));
  EXPECT_THAT(memory, ElementsAre(Pair(0x100, 0x56), Pair(0xffc, 0x789abcde)));
}

TEST_F(VcpuTest, TheGuestGetsWhatADeviceAnswers) {
  port_.on_read = [](uint64_t, std::span<std::byte> data) {
    data[0] = std::byte{0x5a};
  };
  window_.on_read = [](uint64_t, std::span<std::byte> data) {
    StoreLe(0x11223344, data);
  };
  Load(GuestCode()
           .In8(kPort)
           .OutAl(kPort)
           .Load32(kMmio)
           .OutAl(kPort + 1)
           .HaltForEver());
  std::atomic<uint64_t> first{0};
  std::atomic<uint64_t> second{0};
  port_.on_write = [&](uint64_t offset, std::span<const std::byte> data) {
    (offset == 0 ? first : second) = LoadLe(data);
  };
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return second != 0; }));
  EXPECT_EQ(first, 0x5au);
  EXPECT_EQ(second, 0x44u);
}

TEST_F(VcpuTest, WhatNobodyHasReadsAsOnes) {
  std::atomic<uint64_t> value{0};
  port_.on_write = [&](uint64_t, std::span<const std::byte> data) {
    value = LoadLe(data);
  };
  Load(GuestCode().In8(0x999).OutAl(kPort).HaltForEver());
  const auto vcpu = Start();
  EXPECT_TRUE(WaitFor([&] { return value == 0xff; }));
}

TEST_F(VcpuTest, AStringOfBytesArrivesOneByOne) {
  std::string text;
  std::atomic<bool> done{false};
  port_.on_write = [&](uint64_t, std::span<const std::byte> data) {
    EXPECT_EQ(data.size(), 1u);
    text.push_back(static_cast<char>(data[0]));
    done = text.size() == 5;
  };
  constexpr uint32_t kText = 0x200000;
  ASSERT_TRUE(memory_->Write(Gpa{kText}, std::as_bytes(std::span("hello"))));
  GuestCode code;
  code.Raw({0xbe, 0x00, 0x00, 0x20, 0x00});          // mov esi, kText
  code.Raw({0xb9, 5, 0, 0, 0});                      // mov ecx, 5
  code.Raw({0xba, kPort & 0xff, kPort >> 8, 0, 0});  // mov edx, kPort
  Load(code.Raw({0xfc, 0xf3, 0x6e}).HaltForEver());  // rep outsb
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return done.load(); }));
  EXPECT_EQ(text, "hello");
}

TEST_F(VcpuTest, ExitsAreCountedByReason) {
  Load(Writer());
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return vcpu->exits(KVM_EXIT_IO) > 100; }));
  EXPECT_GE(vcpu->exits(), vcpu->exits(KVM_EXIT_IO));
  EXPECT_EQ(vcpu->exits(KVM_EXIT_MMIO), 0u);
  EXPECT_GT(vcpu->thread_id(), 0);
}

TEST_F(VcpuTest, ATripleFaultIsAShutdownOnce) {
  GuestCode code;
  // lidt of six zero bytes, then an invalid instruction.
  code.Raw({0x0f, 0x01, 0x1d, 0x00, 0x00, 0x20, 0x00, 0x0f, 0x0b});
  Load(code.HaltForEver());
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return !shutdowns().empty(); }));
  vcpu->WaitPaused();
  EXPECT_THAT(shutdowns(), ElementsAre(0u));
  EXPECT_THAT(failures(), IsEmpty());
}

TEST_F(VcpuTest, CodeOutsideOfMemoryIsAFailureOnce) {
  Load(GuestCode().Jump(GuestCode::kUnclaimed));
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return !failures().empty(); }));
  vcpu->WaitPaused();
  EXPECT_THAT(failures(), ElementsAre("exit 17"));  // internal error
}

TEST_F(VcpuTest, AVcpuThatFailedCanBeSetUpAndResumed) {
  Load(GuestCode().Jump(GuestCode::kUnclaimed));
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return !failures().empty(); }));
  vcpu->RequestPause();
  vcpu->WaitPaused();
  Load(Writer());
  vcpu->RunOnThread([](KvmVcpu& kvm) {
    kvm_regs regs = *kvm.fd().Get(arch::x86_64::kGetRegs);
    regs.rip = GuestCode::kBase;
    EXPECT_TRUE(kvm.fd().Set(arch::x86_64::kSetRegs, regs).ok());
  });
  vcpu->Resume();
  EXPECT_TRUE(WaitFor([&] { return port_.writes > 10; }));
}

TEST_F(VcpuTest, TheVcpuThatAskedForTheHoldDoesNotRunOn) {
  port_.on_write = [this](uint64_t, std::span<const std::byte>) {
    hold_ = true;
  };
  Load(Writer());
  const auto vcpu = Start();
  ASSERT_TRUE(WaitFor([&] { return hold_.load(); }));
  vcpu->WaitPaused();
  EXPECT_EQ(port_.writes, 1u);
  hold_ = false;
  port_.on_write = nullptr;
  vcpu->Resume();
  EXPECT_TRUE(WaitFor([&] { return port_.writes > 10; }));
}

}  // namespace
}  // namespace kvmlet
