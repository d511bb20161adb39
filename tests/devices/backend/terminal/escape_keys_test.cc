// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "devices/backend/terminal.h"

namespace kvmlet {
namespace {

class EscapeKeysTest : public testing::Test {
 protected:
  std::string Filter(std::string_view text) {
    const auto kept =
        keys_.Filter(std::as_bytes(std::span(text.data(), text.size())));
    return {reinterpret_cast<const char*>(kept.data()), kept.size()};
  }

  std::string pressed_;
  EscapeKeys keys_{[this](char key) { pressed_.push_back(key); }};
};

TEST_F(EscapeKeysTest, OrdinaryTextGoesThrough) {
  EXPECT_EQ(Filter("hello\r"), "hello\r");
  EXPECT_EQ(Filter(""), "");
  EXPECT_EQ(pressed_, "");
}

TEST_F(EscapeKeysTest, CtrlAAndAKeyAreNotTheGuests) {
  EXPECT_EQ(Filter("a\x01xb"), "ab");
  EXPECT_EQ(pressed_, "x");
}

TEST_F(EscapeKeysTest, TheKeyMayComeLater) {
  EXPECT_EQ(Filter("a\x01"), "a");
  EXPECT_EQ(Filter("cb"), "b");
  EXPECT_EQ(pressed_, "c");
}

TEST_F(EscapeKeysTest, CtrlATwiceSendsOne) {
  EXPECT_EQ(Filter("\x01\x01"), "\x01");
  EXPECT_EQ(Filter("\x01"
                   "a"),
            "\x01");
  EXPECT_EQ(pressed_, "");
}

TEST_F(EscapeKeysTest, EveryByteSurvives) {
  std::string all;
  for (int c = 0; c < 256; ++c) {
    if (c != 1) all.push_back(static_cast<char>(c));
  }
  EXPECT_EQ(Filter(all), all);
}

}  // namespace
}  // namespace kvmlet
