// SPDX-License-Identifier: Apache-2.0
// The PL011 as drivers use it: Linux' start-up, an early console that never
// sets anything up, and a guest that polls.
#include "devices/serial/pl011.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/devices/platform/access.h"
#include "tests/fakes/fake_char_backend.h"
#include "tests/fakes/fake_interrupts.h"

namespace kvmlet {
namespace {

class Pl011Test : public testing::Test {
 protected:
  enum Offset : uint64_t {
    kDr = 0x00,
    kFr = 0x18,
    kIbrd = 0x24,
    kLcrH = 0x2c,
    kCr = 0x30,
    kImsc = 0x38,
    kRis = 0x3c,
    kMis = 0x40,
    kIcr = 0x44,
  };
  static constexpr uint32_t kFrEmpty = 0x10;
  static constexpr uint32_t kReceive = 0x10;
  static constexpr uint32_t kTransmit = 0x20;
  static constexpr uint32_t kTimeout = 0x40;

  uint32_t In(uint64_t offset) {
    return static_cast<uint32_t>(ReadFrom(uart_, offset, 4));
  }
  void Out(uint64_t offset, uint64_t value) {
    WriteTo(uart_, offset, 4, value);
  }
  bool irq() { return interrupts_.line(0).asserted; }
  std::string ReadAll() {
    std::string text;
    while ((In(kFr) & kFrEmpty) == 0)
      text.push_back(static_cast<char>(In(kDr)));
    return text;
  }

  fakes::FakeInterrupts interrupts_;
  fakes::FakeCharBackend backend_;
  Pl011 uart_{*interrupts_.CreateLine(1), backend_};
};

TEST_F(Pl011Test, OutputNeedsNoSetUp) {
  for (const char c : std::string("hi\n")) {
    WriteTo(uart_, kDr, 1, static_cast<uint8_t>(c));
  }
  WriteTo(uart_, kDr, 2, '!');
  EXPECT_EQ(backend_.output(), "hi\n!");
}

TEST_F(Pl011Test, TransmitterIsAlwaysReady) {
  const uint32_t flags = In(kFr);
  EXPECT_EQ(flags & 0x08, 0u);  // BUSY
  EXPECT_EQ(flags & 0x20, 0u);  // TXFF
  EXPECT_EQ(flags & 0x80, 0x80u);
}

TEST_F(Pl011Test, IdentifiesItselfAsRevision3) {
  std::string id;
  for (uint64_t at = 0xfe0; at < 0x1000; at += 4) {
    id.push_back(static_cast<char>(In(at)));
  }
  EXPECT_EQ(id, std::string("\x11\x10\x34\x00\x0d\xf0\x05\xb1", 8));
}

TEST_F(Pl011Test, TransmitInterruptLastsUntilItIsMaskedOrCleared) {
  Out(kImsc, kTransmit);
  EXPECT_FALSE(irq());  // nothing was sent
  Out(kDr, 'x');
  EXPECT_TRUE(irq());
  EXPECT_EQ(In(kMis), kTransmit);
  Out(kImsc, 0);
  EXPECT_FALSE(irq());
  EXPECT_EQ(In(kRis), kTransmit);
  Out(kImsc, kTransmit);
  EXPECT_TRUE(irq());
  Out(kIcr, kTransmit);
  EXPECT_FALSE(irq());
}

TEST_F(Pl011Test, InputInterruptsUntilItIsRead) {
  Out(kImsc, kReceive | kTimeout);
  EXPECT_EQ(backend_.Type("ab"), 2u);
  EXPECT_TRUE(irq());
  EXPECT_EQ(In(kMis), kReceive | kTimeout);
  // Clearing the cause does not lose what waits.
  Out(kIcr, 0x7ff);
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadAll(), "ab");
  EXPECT_FALSE(irq());
  EXPECT_EQ(backend_.ready_calls, 2);
}

TEST_F(Pl011Test, DriverStartUpDoesNotEatEarlyInput) {
  backend_.Type("typed");
  EXPECT_FALSE(irq());
  // What Linux does: clear everything, drain the FIFO, then unmask.
  Out(kIcr, 0x7ff);
  Out(kImsc, 0);
  Out(kCr, 0x301);
  for (int i = 0; i < 2 * 32 && (In(kFr) & kFrEmpty) == 0; ++i) In(kDr);
  EXPECT_EQ(In(kDr), 0u);
  Out(kImsc, kReceive | kTimeout);
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadAll(), "typed");
}

TEST_F(Pl011Test, PollingGuestGetsInputWithoutInterrupt) {
  backend_.Type("k");
  int looks = 0;
  while ((In(kFr) & kFrEmpty) != 0) ASSERT_LT(++looks, 100);
  EXPECT_EQ(In(kDr), 'k');
  EXPECT_FALSE(irq());
}

TEST_F(Pl011Test, WaitingToSendIsNotPollingForInput) {
  backend_.Type("k");
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(In(kFr) & kFrEmpty, 0u);
    Out(kDr, 'x');
  }
}

TEST_F(Pl011Test, TakesAFifoAndNoMore) {
  EXPECT_EQ(backend_.Type(std::string(40, 'a')), 32u);
  EXPECT_EQ(backend_.Type("b"), 0u);
  Out(kImsc, kReceive);
  EXPECT_EQ(In(kFr) & 0x50, 0x40u);  // full, not empty
  In(kDr);
  EXPECT_EQ(backend_.Type("bc"), 1u);
}

TEST_F(Pl011Test, LoopbackStaysInside) {
  Out(kCr, 0x381);
  for (int i = 0; i < 40; ++i) Out(kDr, 'a');
  EXPECT_EQ(backend_.output(), "");
  EXPECT_EQ(ReadAll(), std::string(32, 'a'));
  Out(kDr, 'b');
  Out(kCr, 0x301);
  Out(kCr, 0x381);
  EXPECT_EQ(ReadAll(), "");
}

TEST_F(Pl011Test, ResetKeepsUnreadInput) {
  Out(kImsc, kReceive);
  Out(kIbrd, 13);
  backend_.Type("ab");
  EXPECT_TRUE(irq());
  uart_.Reset();
  EXPECT_FALSE(irq());
  EXPECT_EQ(In(kIbrd), 0u);
  EXPECT_EQ(backend_.flushes, 1);
  Out(kImsc, kReceive);
  EXPECT_EQ(ReadAll(), "ab");
}

TEST_F(Pl011Test, EveryOffsetAndWidthIsHarmless) {
  for (uint64_t offset = 0; offset < Pl011::kSize; ++offset) {
    for (const size_t width : {1u, 2u, 4u, 8u}) {
      if (offset + width > Pl011::kSize) continue;
      if (offset != kDr) WriteTo(uart_, offset, width, UINT64_MAX);
      ReadFrom(uart_, offset, width);
    }
  }
  EXPECT_EQ(backend_.output(), "");
  EXPECT_EQ(In(0x100), 0u);
}

}  // namespace
}  // namespace kvmlet
