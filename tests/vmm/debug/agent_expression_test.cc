// SPDX-License-Identifier: Apache-2.0
#include "vmm/debug/agent_expression.h"

#include <gtest/gtest.h>

#include <random>

namespace kvmlet {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

// Register N is N * 16; memory is its own address, below 0x1000.
AgentExpression::Context Machine() {
  return {.register_value = [](size_t number) -> std::optional<uint64_t> {
            if (number > 32) return std::nullopt;
            return number * 16;
          },
          .read =
              [](uint64_t address, std::span<std::byte> out) {
                for (std::byte& byte : out) {
                  if (address >= 0x1000) return false;
                  byte = static_cast<std::byte>(address++);
                }
                return true;
              }};
}

absl::StatusOr<uint64_t> Value(std::initializer_list<int> code) {
  return AgentExpression(Bytes(code)).Evaluate(Machine());
}

TEST(AgentExpressionTest, ConstantsOfEverySize) {
  EXPECT_EQ(*Value({0x22, 0xfe, 0x27}), 0xfeu);
  EXPECT_EQ(*Value({0x23, 0x12, 0x34, 0x27}), 0x1234u);
  EXPECT_EQ(*Value({0x24, 1, 2, 3, 4, 0x27}), 0x01020304u);
  EXPECT_EQ(*Value({0x25, 1, 2, 3, 4, 5, 6, 7, 8, 0x27}), 0x0102030405060708u);
}

TEST(AgentExpressionTest, RegistersAndMemory) {
  EXPECT_EQ(*Value({0x26, 0, 3, 0x27}), 48u);
  EXPECT_EQ(*Value({0x22, 0x10, 0x17, 0x27}), 0x10u);
  EXPECT_EQ(*Value({0x22, 0x10, 0x18, 0x27}), 0x1110u);
  EXPECT_EQ(*Value({0x22, 0x10, 0x19, 0x27}), 0x13121110u);
  EXPECT_EQ(*Value({0x22, 0x10, 0x1a, 0x27}), 0x1716151413121110u);
  EXPECT_FALSE(Value({0x26, 0, 99, 0x27}).ok());
  EXPECT_FALSE(Value({0x23, 0x0f, 0xff, 0x18, 0x27}).ok());
}

// `operation` on 100 and 7, then on -8 and 3.
struct Case {
  int operation;
  uint64_t plain;
  uint64_t negative;
};
TEST(AgentExpressionTest, Operators) {
  const Case kCases[] = {
      {0x02, 107, static_cast<uint64_t>(-5)},
      {0x03, 93, static_cast<uint64_t>(-11)},
      {0x04, 700, static_cast<uint64_t>(-24)},
      {0x05, 14, static_cast<uint64_t>(-2)},
      {0x06, 14, 0x5555555555555552},
      {0x07, 2, static_cast<uint64_t>(-2)},
      {0x08, 2, 2},
      {0x09, 12800, static_cast<uint64_t>(-64)},
      {0x0a, 0, static_cast<uint64_t>(-1)},
      {0x0b, 0, 0x1fffffffffffffff},
      {0x0f, 4, 0},
      {0x10, 103, static_cast<uint64_t>(-5)},
      {0x11, 99, static_cast<uint64_t>(-5)},
      {0x13, 0, 0},
      {0x14, 0, 1},
      {0x15, 0, 0},
  };
  for (const auto& [operation, plain, negative] : kCases) {
    EXPECT_EQ(*Value({0x22, 100, 0x22, 7, operation, 0x27}), plain)
        << operation;
    EXPECT_EQ(*Value({0x22, 0xf8, 0x16, 8, 0x22, 3, operation, 0x27}), negative)
        << operation;
  }
  EXPECT_EQ(*Value({0x22, 0, 0x0e, 0x27}), 1u);
  EXPECT_EQ(*Value({0x22, 5, 0x0e, 0x27}), 0u);
  EXPECT_EQ(*Value({0x22, 5, 0x12, 0x27}), ~5ull);
}

TEST(AgentExpressionTest, WhatCannotBeDivided) {
  for (const int operation : {5, 6, 7, 8}) {
    EXPECT_FALSE(Value({0x22, 1, 0x22, 0, operation, 0x27}).ok());
  }
  // The most negative number by -1.
  for (const int operation : {5, 7}) {
    EXPECT_TRUE(Value({0x25, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xff, 0x16, 8,
                       operation, 0x27})
                    .ok());
  }
}

TEST(AgentExpressionTest, ShiftsBeyondTheWidth) {
  EXPECT_EQ(*Value({0x22, 1, 0x22, 64, 0x09, 0x27}), 0u);
  EXPECT_EQ(*Value({0x22, 0xff, 0x22, 200, 0x0b, 0x27}), 0u);
  EXPECT_EQ(*Value({0x22, 0x80, 0x16, 8, 0x22, 200, 0x0a, 0x27}), ~0ull);
}

TEST(AgentExpressionTest, Extensions) {
  EXPECT_EQ(*Value({0x22, 0x80, 0x16, 8, 0x27}), 0xffffffffffffff80u);
  EXPECT_EQ(*Value({0x22, 0x80, 0x12, 0x2a, 8, 0x27}), 0x7fu);
  EXPECT_EQ(*Value({0x22, 5, 0x16, 64, 0x2a, 0, 0x27}), 5u);
}

TEST(AgentExpressionTest, TheStack) {
  EXPECT_EQ(*Value({0x22, 6, 0x28, 0x04, 0x27}), 36u) << "dup";
  EXPECT_EQ(*Value({0x22, 1, 0x22, 2, 0x29, 0x27}), 1u) << "pop";
  EXPECT_EQ(*Value({0x22, 9, 0x22, 2, 0x2b, 0x03, 0x27}),
            static_cast<uint64_t>(-7))
      << "swap";
  EXPECT_EQ(*Value({0x22, 7, 0x22, 8, 0x22, 9, 0x32, 2, 0x27}), 7u) << "pick";
  // 1 2 3 becomes 3 1 2.
  EXPECT_EQ(*Value({0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x27}), 2u) << "rot";
  EXPECT_EQ(*Value({0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x32, 2, 0x27}), 3u);
}

TEST(AgentExpressionTest, Jumps) {
  // if (1) skip the first constant
  EXPECT_EQ(*Value({0x22, 1, 0x20, 0, 7, 0x22, 5, 0x22, 6, 0x27}), 6u);
  EXPECT_EQ(*Value({0x22, 0, 0x20, 0, 8, 0x22, 5, 0x27, 0x22, 6, 0x27}), 5u);
  EXPECT_EQ(*Value({0x21, 0, 4, 0x27, 0x22, 3, 0x27}), 3u);
}

TEST(AgentExpressionTest, BrokenOnesEndWithAnError) {
  EXPECT_FALSE(Value({}).ok());
  EXPECT_FALSE(Value({0x27}).ok()) << "no value";
  EXPECT_FALSE(Value({0x22}).ok()) << "no operand";
  EXPECT_FALSE(Value({0x22, 1}).ok()) << "no end";
  EXPECT_FALSE(Value({0x22, 1, 0x02, 0x27}).ok()) << "one of two";
  EXPECT_FALSE(Value({0x21, 0, 0}).ok()) << "for ever";
  EXPECT_FALSE(Value({0x21, 0xff, 0xff}).ok()) << "into nowhere";
  EXPECT_FALSE(Value({0x22, 1, 0x21, 0, 0}).ok()) << "ever deeper";
  EXPECT_FALSE(Value({0x22, 1, 0x22, 2, 0x0c, 0x27}).ok()) << "a tracepoint's";
  EXPECT_FALSE(Value({0x22, 1, 0x32, 255, 0x27}).ok());
  for (int operation = 0; operation < 256; ++operation) {
    (void)Value({operation});
    (void)Value({0x22, 1, operation});
  }
}

TEST(AgentExpressionTest, AnyBytesEnd) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> code(random() % 64);
    for (std::byte& byte : code) byte = static_cast<std::byte>(random() % 0x35);
    (void)AgentExpression(code).Evaluate(Machine());
  }
}

}  // namespace
}  // namespace kvmlet
