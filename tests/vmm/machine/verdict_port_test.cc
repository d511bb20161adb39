// SPDX-License-Identifier: Apache-2.0
#include "vmm/verdict_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/fakes/fake_guest_requests.h"

namespace kvmlet {
namespace {

using fakes::GuestRequest;
using testing::ElementsAre;
using testing::IsEmpty;

class VerdictPortTest : public testing::Test {
 protected:
  void Write(std::string_view text) {
    port_.OnOutput(std::as_bytes(std::span(text.data(), text.size())));
  }
  static GuestRequest Exit(uint64_t code, std::string text = "") {
    return {.kind = GuestRequest::kExit,
            .door = Door::kVerdictPort,
            .code = code,
            .text = std::move(text)};
  }

  fakes::FakeGuestRequests requests_;
  VerdictPort port_{requests_};
};

TEST_F(VerdictPortTest, ANumberEndsTheGuest) {
  Write("7\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(7)));
}

TEST_F(VerdictPortTest, ANumberMayHaveAText) {
  Write("3 two tests failed\r\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(3, "two tests failed")));
}

TEST_F(VerdictPortTest, ALineMayComeInPieces) {
  for (const char c : std::string("42 ok\n")) Write(std::string_view(&c, 1));
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(42, "ok")));
}

TEST_F(VerdictPortTest, NothingHappensBeforeTheEndOfTheLine) {
  Write("0");
  EXPECT_THAT(requests_.all(), IsEmpty());
  Write(std::string_view("\0", 1));
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(0)));
}

TEST_F(VerdictPortTest, AResetForgetsAnUnfinishedLine) {
  Write("1");
  port_.Reset();
  Write("2\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(2)));
}

TEST_F(VerdictPortTest, TheLargestNumberIsTaken) {
  Write("18446744073709551615\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(UINT64_MAX)));
}

TEST_F(VerdictPortTest, WhatIsNoNumberIsIgnored) {
  for (const char* line :
       {"\n", "\r\n", "hello\n", "-1\n", "+1\n", " 1\n", "1x\n", "0x10\n",
        "1\tx\n", "18446744073709551616\n", "\xff\xfe\n", "1.5\n"}) {
    Write(line);
    EXPECT_THAT(requests_.all(), IsEmpty()) << line;
  }
}

TEST_F(VerdictPortTest, ALineAfterGarbageIsTaken) {
  Write("garbage\n5\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(5)));
}

TEST_F(VerdictPortTest, ALongTextIsCut) {
  Write("9 " + std::string(100'000, 'x') + "\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(9, std::string(510, 'x'))));
}

TEST_F(VerdictPortTest, ANumberThatIsTooLongIsNotCutToAnother) {
  Write(std::string(505, '0') + "12345678901234567890\n");
  EXPECT_THAT(requests_.all(), IsEmpty());
  Write("1\n");
  EXPECT_THAT(requests_.all(), ElementsAre(Exit(1)));
}

TEST_F(VerdictPortTest, BytesWithoutALineEndUseNoMoreMemory) {
  const std::string block(64 << 10, '1');
  for (int i = 0; i < 100; ++i) Write(block);
  EXPECT_THAT(requests_.all(), IsEmpty());
}

}  // namespace
}  // namespace kvmlet
