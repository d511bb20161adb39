// SPDX-License-Identifier: Apache-2.0
// Breakpoints with a condition: passed without a word while it is false, in
// memory as in a hardware slot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/debug/debugger_fixture.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// r0 == 20; the value at the address in r0, 1 byte, == 7; register 99.
constexpr char kIsTwenty[] = ";X7,26000322141327";
constexpr char kHasSeven[] = ";X8,2600031722071327";
constexpr char kNoRegister[] = ";X4,26006327";

class ConditionTest : public DebuggerTest {
 protected:
  void SetR0(size_t vcpu, uint64_t value) {
    arch_->values(target_.vcpu(vcpu))[3] = value;
  }
  std::string Insert(const char* type, const std::string& conditions) {
    return Ask(std::string("Z") + type + ",11000,1" + conditions);
  }
};

TEST_F(ConditionTest, AFalseOneInASlotIsPassedWithoutAStop) {
  EXPECT_EQ(Insert("1", kIsTwenty), "OK");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .slot = 0});
  // One step beside it, the others run on.
  EXPECT_THAT(target_.running_, ElementsAre(true, true, true));
  EXPECT_TRUE(arch_->armed_[1].single_step);
  EXPECT_THAT(arch_->armed_[1].slots, testing::IsEmpty());
  Exit(1, {.pc = kCode + 1, .step = true});
  EXPECT_FALSE(arch_->armed_[1].single_step);
  EXPECT_THAT(arch_->armed_[1].slots, testing::SizeIs(1));
  EXPECT_EQ(Settle(), "");
  SetR0(1, 20);
  Exit(1, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:2;hwbreak"));
}

TEST_F(ConditionTest, AFalseOneInMemoryIsPassedAlone) {
  EXPECT_EQ(Insert("0", kIsTwenty), "OK");
  Ask("vCont;c");
  Exit(1, {.pc = kCode, .instruction = true});
  EXPECT_EQ(Settle(), "") << "not told";
  EXPECT_EQ(Byte(), 0x55) << "lifted";
  EXPECT_THAT(target_.running_, ElementsAre(false, true, false));
  Exit(1, {.pc = kCode + 1, .step = true});
  EXPECT_EQ(Settle(), "");
  EXPECT_EQ(Byte(), 0xcc);
  EXPECT_THAT(target_.running_, ElementsAre(true, true, true));
  SetR0(2, 20);
  Exit(2, {.pc = kCode, .instruction = true});
  EXPECT_THAT(Settle(), StartsWith("T05thread:3;swbreak"));
}

TEST_F(ConditionTest, AStepThatIsDoneMeanwhileIsTold) {
  Insert("0", kIsTwenty);
  Ask("vCont;s:1;c");
  Exit(1, {.pc = kCode, .instruction = true});
  Exit(0, {.pc = kCode + 0x40, .step = true});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;0:"));
  EXPECT_THAT(target_.running_, ElementsAre(false, false, false));
  // And the other one passes it when it goes on.
  Ask("vCont;c");
  EXPECT_THAT(target_.running_, ElementsAre(false, true, false));
}

TEST_F(ConditionTest, TheyLookAtMemory) {
  ASSERT_TRUE(target_.memory().Store(Gpa{0x2000}, uint8_t{7}));
  Insert("1", kHasSeven);
  Ask("vCont;c");
  SetR0(0, 0x12000);
  Exit(0, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;hwbreak"));
}

TEST_F(ConditionTest, WhatCannotBeJudgedStops) {
  for (const char* condition : {kNoRegister, kHasSeven}) {
    Insert("1", condition);
    Ask("vCont;c");
    SetR0(0, 0x10);  // not mapped
    Exit(0, {.pc = kCode, .slot = 0});
    EXPECT_THAT(Settle(), StartsWith("T05thread:1;hwbreak"));
  }
}

TEST_F(ConditionTest, OneOfSeveralIsEnough) {
  Insert("1", std::string(kIsTwenty) + kHasSeven);
  Ask("vCont;c");
  SetR0(0, 0x12000);
  Exit(0, {.pc = kCode, .slot = 0});
  EXPECT_EQ(Settle(), "");
  Exit(0, {.pc = kCode + 1, .step = true});
  ASSERT_TRUE(target_.memory().Store(Gpa{0x2000}, uint8_t{7}));
  Exit(0, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;hwbreak"));
}

TEST_F(ConditionTest, InsertingAgainReplacesThem) {
  Insert("1", kIsTwenty);
  EXPECT_THAT(debugger_->breakpoints().Describe(), HasSubstr("condition"));
  EXPECT_EQ(Insert("1", ""), "OK");
  Ask("vCont;c");
  Exit(0, {.pc = kCode, .slot = 0});
  EXPECT_THAT(Settle(), StartsWith("T05thread:1;hwbreak"));
}

TEST_F(ConditionTest, WrongOnesAreRefused) {
  for (const char* condition :
       {";X", ";X7", ";X7,", ";X7,2600", ";Xg,00", ";X1001,00", ";Y", "x",
        ";X1,27;", ";X1,2700"}) {
    EXPECT_EQ(Insert("1", condition), "E22") << condition;
  }
}

}  // namespace
}  // namespace kvmlet
