// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "devices/vfio/token_source.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::vfio {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kText[] = "01234567-89ab-cdef-0123-456789abcdef";

TEST(TokenTest, TextBecomesBytesInItsOrderAndBack) {
  const auto token = Token::Parse("--vfio", kText);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->bytes()[0], 0x01);
  EXPECT_EQ(token->bytes()[7], 0xef);
  EXPECT_EQ(token->bytes()[15], 0xef);
  EXPECT_EQ(token->Text(), kText);
}

TEST(TokenTest, UpperCaseIsTheSameToken) {
  EXPECT_EQ(*Token::Parse("", "01234567-89AB-CDEF-0123-456789ABCDEF"),
            *Token::Parse("", kText));
}

TEST(TokenTest, MalformedTextIsRefusedAndNotRepeated) {
  for (const std::string text :
       {"", "secret", "fedcba98-89ab-cdef-0123-456789abcde",
        "fedcba98-89ab-cdef-0123-456789abcdef0",
        "{1234567-89ab-cdef-0123-456789abcde}",
        "0123456789ab-cdef-0123-456789abcdef-",
        "fedcba98-89ab-cdef-0123-456789abcdeg"}) {
    const absl::Status status = Token::Parse("--vfio vf-token", text).status();
    EXPECT_EQ(ExitStatusFor(status), 65) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--vfio vf-token"));
    if (text.size() > 4) {
      EXPECT_THAT(std::string(status.message()),
                  Not(HasSubstr(text.substr(0, text.size() - 2))));
    }
  }
}

TEST(TokenTest, RandomTokensAreVersion4AndDiffer) {
  const Token a = *Token::Random();
  const Token b = *Token::Random();
  EXPECT_NE(a, b);
  EXPECT_EQ(a.Text()[14], '4');
  EXPECT_THAT("89ab", HasSubstr(std::string(1, a.Text()[19])));
}

DeviceFacts Vf(std::string pf_driver) {
  DeviceFacts facts;
  facts.bdf = "0000:01:10.0";
  facts.pf = "0000:01:00.0";
  facts.pf_driver = std::move(pf_driver);
  return facts;
}

DeviceFacts Pf() {
  DeviceFacts facts;
  facts.bdf = "0000:01:00.0";
  facts.total_vfs = 7;
  return facts;
}

class DecisionTest : public ::testing::Test {
 protected:
  const Token token_ = *Token::Parse("", kText);
  std::string Refusal(const DeviceFacts& facts,
                      const std::optional<Token>& given) {
    const auto decision = DecideToken(facts, given);
    EXPECT_FALSE(decision.ok());
    EXPECT_EQ(ExitStatusFor(decision.status()), 65);
    const std::string text(decision.status().message());
    EXPECT_THAT(text, Not(HasSubstr(kText)));
    return text;
  }
};

TEST_F(DecisionTest, VirtualFunctionOfNativeDriverTakesNone) {
  EXPECT_FALSE(DecideToken(Vf("igb"), {})->send);
  EXPECT_FALSE(DecideToken(Vf(""), {})->send);
  EXPECT_THAT(Refusal(Vf("igb"), token_), HasSubstr("is on igb"));
  EXPECT_THAT(Refusal(Vf(""), token_), HasSubstr("is on no driver"));
}

TEST_F(DecisionTest, VirtualFunctionOfVfioNeedsTheOneGiven) {
  EXPECT_EQ(DecideToken(Vf("vfio-pci"), token_)->send, token_);
  EXPECT_EQ(DecideToken(Vf("mlx5_vfio_pci"), token_)->send, token_);
  EXPECT_THAT(Refusal(Vf("vfio-pci"), {}), HasSubstr("vf-token-file="));
}

TEST_F(DecisionTest, PhysicalFunctionGetsTheOneGivenOrAFreshOne) {
  EXPECT_EQ(DecideToken(Pf(), token_)->send, token_);
  EXPECT_FALSE(DecideToken(Pf(), token_)->fresh);
  const auto first = DecideToken(Pf(), {});
  const auto second = DecideToken(Pf(), {});
  EXPECT_TRUE(first->fresh);
  ASSERT_TRUE(first->send && second->send);
  EXPECT_NE(*first->send, *second->send);
}

TEST_F(DecisionTest, OrdinaryDeviceTakesNone) {
  DeviceFacts plain;
  plain.bdf = "0000:02:00.0";
  EXPECT_FALSE(DecideToken(plain, {})->send);
  EXPECT_THAT(Refusal(plain, token_), HasSubstr("no token applies"));
}

TEST(TokenSourceTest, ReadsFileAndDescriptorUpToTheLineEnd) {
  const std::string path =
      ::testing::TempDir() + "/token-" + std::to_string(::getpid());
  std::ofstream(path) << kText << "\n";
  const auto from_file = ReadToken({.text = "", .file = path, .fd = -1});
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  EXPECT_EQ((*from_file)->Text(), kText);
  ::unlink(path.c_str());

  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], kText, sizeof kText - 1), 36);
  ::close(ends[1]);
  const auto from_fd = ReadToken({.text = "", .file = "", .fd = ends[0]});
  ASSERT_TRUE(from_fd.ok()) << from_fd.status();
  EXPECT_EQ((*from_fd)->Text(), kText);
}

TEST(TokenSourceTest, SaysWhichSourceFails) {
  const auto missing =
      ReadToken({.text = "", .file = "/nonexistent/token", .fd = -1});
  EXPECT_EQ(ExitStatusFor(missing.status()), 66);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("vf-token-file=/nonexistent/token"));
  const std::string path =
      ::testing::TempDir() + "/bad-token-" + std::to_string(::getpid());
  std::ofstream(path) << "my secret, badly written\n";
  const auto bad = ReadToken({.text = "", .file = path, .fd = -1});
  EXPECT_EQ(ExitStatusFor(bad.status()), 65);
  EXPECT_THAT(std::string(bad.status().message()), Not(HasSubstr("secret")));
  EXPECT_FALSE(ReadToken({})->has_value());
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace kvmlet::vfio
