// SPDX-License-Identifier: Apache-2.0
// gdb's registers against KVM's structures, and the slots of watchpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "arch/x86_64/debug.h"
#include "arch/x86_64/debug_registers.h"

namespace kvmlet::arch::x86_64 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const RegisterSpec& Spec(std::string_view name) {
  for (const RegisterSpec& spec : RegisterTable()) {
    if (spec.name == name) return spec;
  }
  ADD_FAILURE() << "no register " << name;
  return RegisterTable().front();
}

template <typename T>
T Value(std::string_view name, const GeneralState& state) {
  std::vector<std::byte> bytes(Spec(name).bytes);
  Encode(Spec(name), state, bytes);
  T value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof(value), bytes.size()));
  return value;
}

template <typename T>
absl::Status Put(std::string_view name, T value, GeneralState& state) {
  std::vector<std::byte> bytes(Spec(name).bytes);
  std::memcpy(bytes.data(), &value, std::min(sizeof(value), bytes.size()));
  return Decode(Spec(name), bytes, state);
}

TEST(DebugRegistersTest, NumbersAreGdbs) {
  const auto table = RegisterTable();
  EXPECT_EQ(table[kRipNumber].name, "rip");
  EXPECT_EQ(table[kRspNumber].name, "rsp");
  EXPECT_EQ(table[kRbpNumber].name, "rbp");
  EXPECT_EQ(table[24].name, "st0");
  EXPECT_EQ(table[40].name, "xmm0");
  EXPECT_EQ(table[57].name, "fs_base");
  EXPECT_EQ(table[kGeneralRegisters - 1].name, "ymm15h");
  EXPECT_EQ(table[kGeneralRegisters].name, "cr0");
  std::set<std::string> names;
  for (const RegisterSpec& spec : table) names.insert(spec.name);
  EXPECT_EQ(names.size(), table.size());
}

TEST(DebugRegistersTest, GeneralRegistersGoThereAndBack) {
  GeneralState state;
  uint64_t next = 0x1111;
  for (const RegisterSpec& spec : RegisterTable().first(kRipNumber + 1)) {
    ASSERT_TRUE(Put(spec.name, next, state).ok());
    EXPECT_EQ(Value<uint64_t>(spec.name, state), next) << spec.name;
    next += 0x1111;
  }
  EXPECT_EQ(state.regs.rax, 0x1111u);
  EXPECT_EQ(state.regs.rip, 0x1111u * 17);
}

TEST(DebugRegistersTest, FlagsHaveThirtyTwoBits) {
  GeneralState state;
  state.regs.rflags = 0xffffffff00000246;
  EXPECT_EQ(Value<uint32_t>("eflags", state), 0x246u);
  ASSERT_TRUE(Put<uint32_t>("eflags", 0x202, state).ok());
  EXPECT_EQ(state.regs.rflags, 0xffffffff00000202u);
}

TEST(DebugRegistersTest, ASelectorIsReadOnlyButMayBeWrittenBack) {
  GeneralState state;
  state.sregs.cs.selector = 0x10;
  EXPECT_EQ(Value<uint32_t>("cs", state), 0x10u);
  EXPECT_TRUE(Put<uint32_t>("cs", 0x10, state).ok());
  EXPECT_THAT(Put<uint32_t>("cs", 0x33, state).message(), HasSubstr("cs"));
  EXPECT_EQ(state.sregs.cs.selector, 0x10);
}

TEST(DebugRegistersTest, VectorRegistersMarkTheirComponent) {
  GeneralState state;
  ASSERT_TRUE(Put<uint64_t>("xmm15", 0x1234, state).ok());
  ASSERT_TRUE(Put<uint64_t>("ymm2h", 0x5678, state).ok());
  EXPECT_EQ(Value<uint64_t>("xmm15", state), 0x1234u);
  EXPECT_EQ(Value<uint64_t>("ymm2h", state), 0x5678u);
  uint64_t components = 0;
  std::memcpy(&components, state.xsave.region + 128, sizeof(components));
  EXPECT_EQ(components, 6u);
}

TEST(DebugRegistersTest, TheTagWordIsWrittenOut) {
  GeneralState state;
  auto* const bytes = reinterpret_cast<uint8_t*>(state.xsave.region);
  EXPECT_EQ(Value<uint32_t>("ftag", state), 0xffffu) << "all empty";
  // The top is 6: st0 is physical 6 and valid, st1 is physical 7 and zero.
  bytes[3] = 6 << 3;
  bytes[4] = 0xc0;
  bytes[32 + 7] = 0x80;
  bytes[32 + 9] = 0x3f;
  EXPECT_EQ(Value<uint32_t>("ftag", state), 0x4fffu);
  ASSERT_TRUE(Put<uint32_t>("ftag", 0x4fff, state).ok());
  EXPECT_EQ(bytes[4], 0xc0);
}

TEST(DebugRegistersTest, TheDescriptionNamesEveryRegister) {
  const std::string xml = BuildDescription();
  for (const RegisterSpec& spec : RegisterTable()) {
    EXPECT_THAT(xml, HasSubstr("name=\"" + spec.name + "\""));
  }
}

class SlotsTest : public testing::Test {
 protected:
  const X86Debug debug_{DebugCaps{}};
};

TEST_F(SlotsTest, AWatchpointIsCutIntoAlignedPieces) {
  const auto sizes = [this](uint64_t address, uint64_t length) {
    std::vector<uint32_t> list;
    uint64_t at = address;
    for (const DebugSlot& slot :
         debug_.Slots(BreakKind::kWrite, address, length)) {
      EXPECT_EQ(slot.address, at);
      EXPECT_EQ(slot.address % slot.length, 0u);
      at += slot.length;
      list.push_back(slot.length);
    }
    return list;
  };
  EXPECT_THAT(sizes(0x1000, 8), ElementsAre(8));
  EXPECT_THAT(sizes(0x1004, 8), ElementsAre(4, 4));
  EXPECT_THAT(sizes(0x1001, 4), ElementsAre(1, 2, 1));
  EXPECT_THAT(sizes(0x1000, 32), ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(sizes(~0ull, 1), ElementsAre(1));
}

TEST_F(SlotsTest, WhatNoSlotCanWatchIsRefused) {
  EXPECT_THAT(debug_.Slots(BreakKind::kRead, 0x1000, 8), IsEmpty());
  EXPECT_THAT(debug_.Slots(BreakKind::kWrite, 0x1000, 0), IsEmpty());
  EXPECT_THAT(debug_.Slots(BreakKind::kWrite, 0x1000, 64), IsEmpty());
  EXPECT_THAT(debug_.Slots(BreakKind::kAccess, ~0ull, 2), IsEmpty());
  EXPECT_THAT(debug_.Slots(BreakKind::kAccess, 0, ~0ull), IsEmpty());
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
