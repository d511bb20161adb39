// SPDX-License-Identifier: Apache-2.0
// The serial port's input: nothing that the user typed may be lost.
#include <gtest/gtest.h>

#include <string>

#include "tests/devices/serial/uart_fixture.h"

namespace kvmlet {
namespace {

using UartInputTest = UartTest;

TEST_F(UartInputTest, InputInterruptsWhenItIsEnabled) {
  Out(kIer, 0x01);
  EXPECT_EQ(backend_.Type("a"), 1u);
  EXPECT_TRUE(irq());
  EXPECT_EQ(In(kIirFcr), 0x04);
  EXPECT_TRUE(irq());  // only reading the data ends it
  EXPECT_EQ(In(kData), 'a');
  EXPECT_FALSE(irq());
  EXPECT_EQ(In(kIirFcr), 0x01);
}

TEST_F(UartInputTest, InputComesBeforeAnEmptyTransmitter) {
  Out(kIer, 0x03);
  backend_.Type("a");
  EXPECT_EQ(In(kIirFcr), 0x04);
  In(kData);
  EXPECT_EQ(In(kIirFcr), 0x02);
}

TEST_F(UartInputTest, InputFromBeforeTheDriverIsDeliveredLater) {
  backend_.Type("early");
  EXPECT_FALSE(irq());
  Out(kIer, 0x01);
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadAll(), "early");
}

TEST_F(UartInputTest, TakesAFifoAndNoMore) {
  EXPECT_EQ(backend_.Type("0123456789abcdefXYZ"), 16u);
  EXPECT_EQ(backend_.Type("XYZ"), 0u);
  Out(kIer, 0x01);
  EXPECT_EQ(In(kData), '0');
  EXPECT_EQ(backend_.ready_calls, 1);
  EXPECT_EQ(backend_.Type("XYZ"), 1u);
  EXPECT_EQ(ReadAll(), "123456789abcdefX");
}

TEST_F(UartInputTest, ADriversStartUpDoesNotEatInput) {
  backend_.Type("typed");
  // What Linux does: clear the FIFOs, read every register once.
  Out(kIirFcr, 0x01);
  Out(kIirFcr, 0x07);
  Out(kIirFcr, 0x00);
  In(kLsr);
  In(kData);
  In(kIirFcr);
  In(kMsr);
  Out(kIer, 0x01);
  EXPECT_EQ(ReadAll(), "typed");
}

TEST_F(UartInputTest, AFifoResetWhileReadingKeepsInput) {
  Out(kIer, 0x01);
  backend_.Type("typed");
  EXPECT_EQ(In(kData), 't');
  Out(kIirFcr, 0x07);
  EXPECT_EQ(ReadAll(), "yped");
}

TEST_F(UartInputTest, PollingFindsInput) {
  backend_.Type("ok");
  std::string text;
  for (int i = 0; i < 100 && text.size() < 2; ++i) {
    if ((In(kLsr) & 1) != 0) text.push_back(static_cast<char>(In(kData)));
  }
  EXPECT_EQ(text, "ok");
  EXPECT_FALSE(irq());
}

TEST_F(UartInputTest, APollThatEchoesFindsTheNextByteToo) {
  backend_.Type("ab");
  std::string text;
  for (int i = 0; i < 100 && text.size() < 2; ++i) {
    if ((In(kLsr) & 1) == 0) continue;
    text.push_back(static_cast<char>(In(kData)));
    Out(kData, static_cast<uint8_t>(text.back()));
  }
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(backend_.output(), "ab");
}

TEST_F(UartInputTest, WaitingForTheTransmitterIsNoPollForInput) {
  backend_.Type("kept");
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(In(kLsr) & 0x20, 0x20);
    Out(kData, '.');
  }
  EXPECT_EQ(In(kData), 0);
  Out(kIer, 0x01);
  EXPECT_EQ(ReadAll(), "kept");
}

TEST_F(UartInputTest, ResetKeepsInputForTheNextDriver) {
  backend_.Type("kept");
  uart_.Reset();
  Out(kIer, 0x01);
  EXPECT_EQ(ReadAll(), "kept");
}

TEST_F(UartInputTest, LoopbackHidesInputAndGivesItBack) {
  Out(kIer, 0x01);
  backend_.Type("in");
  Out(kMcr, 0x18);
  EXPECT_FALSE(irq());
  EXPECT_EQ(ReadAll(), "");
  Out(kMcr, 0x08);
  EXPECT_TRUE(irq());
  EXPECT_EQ(ReadAll(), "in");
}

TEST_F(UartInputTest, AnEmptyInputIsNoInterrupt) {
  Out(kIer, 0x01);
  EXPECT_EQ(backend_.Type(""), 0u);
  EXPECT_FALSE(irq());
}

}  // namespace
}  // namespace kvmlet
