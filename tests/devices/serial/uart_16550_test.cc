// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/uart_16550.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/devices/serial/uart_fixture.h"

namespace kvmlet {
namespace {

TEST_F(UartTest, PowerOnValues) {
  EXPECT_EQ(In(kIer), 0);
  EXPECT_EQ(In(kIirFcr), 0x01);
  EXPECT_EQ(In(kLcr), 0);
  EXPECT_EQ(In(kMcr), 0x08);
  EXPECT_EQ(In(kLsr), 0x60);
  EXPECT_EQ(In(kMsr), 0xb0);
  EXPECT_EQ(In(kScr), 0);
  EXPECT_FALSE(irq());
}

TEST_F(UartTest, OutputGoesToTheBackend) {
  for (const char c : std::string("hello\n")) {
    Out(kData, static_cast<uint8_t>(c));
  }
  EXPECT_EQ(backend_.output(), "hello\n");
}

TEST_F(UartTest, ScratchKeepsItsValue) {
  Out(kScr, 0xa5);
  EXPECT_EQ(In(kScr), 0xa5);
}

TEST_F(UartTest, DivisorLatchHidesDataAndInterruptEnable) {
  Out(kIer, 0x05);
  Out(kLcr, 0x80);
  EXPECT_EQ(In(kData), 12);  // 9600 baud
  Out(kData, 0x34);
  Out(kIer, 0x12);
  EXPECT_EQ(In(kData), 0x34);
  EXPECT_EQ(In(kIer), 0x12);
  Out(kLcr, 0x03);
  EXPECT_EQ(In(kIer), 0x05);
  EXPECT_EQ(backend_.output(), "");
}

TEST_F(UartTest, ReservedBitsReadAsZero) {
  Out(kIer, 0xff);
  Out(kMcr, 0xff);
  EXPECT_EQ(In(kIer), 0x0f);
  EXPECT_EQ(In(kMcr), 0x1f);
}

TEST_F(UartTest, FifoBitsShowInTheInterruptId) {
  Out(kIirFcr, 0x01);
  EXPECT_EQ(In(kIirFcr), 0xc1);
  Out(kIirFcr, 0x00);
  EXPECT_EQ(In(kIirFcr), 0x01);
}

TEST_F(UartTest, ReadOnlyRegistersIgnoreWrites) {
  Out(kLsr, 0xff);
  Out(kMsr, 0xff);
  EXPECT_EQ(In(kLsr), 0x60);
  EXPECT_EQ(In(kMsr), 0xb0);
}

TEST_F(UartTest, TransmitterInterruptComesWhenItIsEnabled) {
  Out(kIer, 0x02);
  EXPECT_TRUE(irq());
  EXPECT_EQ(In(kIirFcr), 0x02);
  EXPECT_FALSE(irq());  // reading the cause cleared it
  EXPECT_EQ(In(kIirFcr), 0x01);
}

TEST_F(UartTest, TransmitterInterruptComesAfterEveryByte) {
  Out(kIer, 0x02);
  In(kIirFcr);
  Out(kData, 'a');
  EXPECT_TRUE(irq());
  EXPECT_EQ(In(kIirFcr), 0x02);
  EXPECT_FALSE(irq());
}

TEST_F(UartTest, EnablingWhatIsEnabledDoesNotInterruptAgain) {
  Out(kIer, 0x02);
  In(kIirFcr);
  Out(kIer, 0x03);
  EXPECT_FALSE(irq());
}

TEST_F(UartTest, DisablingTakesTheInterruptBack) {
  Out(kIer, 0x02);
  Out(kIer, 0x00);
  EXPECT_FALSE(irq());
}

TEST_F(UartTest, WithoutOut2TheLineStaysLow) {
  Out(kMcr, 0x00);
  Out(kIer, 0x02);
  EXPECT_FALSE(irq());
  Out(kMcr, 0x08);
  EXPECT_TRUE(irq());
}

TEST_F(UartTest, LoopbackReturnsBytesAndPrintsNothing) {
  Out(kMcr, 0x10);
  Out(kData, 'x');
  Out(kData, 'y');
  EXPECT_EQ(ReadAll(), "xy");
  EXPECT_EQ(backend_.output(), "");
}

TEST_F(UartTest, LoopbackHoldsAFifoOnly) {
  Out(kMcr, 0x10);
  for (int i = 0; i < 1000; ++i) Out(kData, 'x');
  EXPECT_EQ(ReadAll().size(), 16u);
}

TEST_F(UartTest, LoopbackTurnsModemOutputsIntoInputs) {
  const struct {
    uint8_t out;
    uint8_t in;
  } kPairs[] = {{0x00, 0x00}, {0x01, 0x20}, {0x02, 0x10},
                {0x04, 0x40}, {0x08, 0x80}, {0x0f, 0xf0}};
  for (const auto& pair : kPairs) {
    Out(kMcr, static_cast<uint8_t>(0x10 | pair.out));
    EXPECT_EQ(In(kMsr), pair.in);
  }
}

TEST_F(UartTest, LoopbackDoesNotInterrupt) {
  Out(kMcr, 0x18);
  Out(kIer, 0x03);
  Out(kData, 'x');
  EXPECT_FALSE(irq());
}

TEST_F(UartTest, LeavingLoopbackDropsItsBytes) {
  Out(kMcr, 0x10);
  Out(kData, 'x');
  Out(kMcr, 0x08);
  EXPECT_EQ(ReadAll(), "");
}

TEST_F(UartTest, AFifoResetDropsLoopbackBytes) {
  Out(kMcr, 0x10);
  Out(kData, 'x');
  Out(kIirFcr, 0x03);
  EXPECT_EQ(ReadAll(), "");
}

TEST_F(UartTest, WideAccessesAreByteAccessesInOrder) {
  const std::array<std::byte, 8> data{
      std::byte{'A'},  std::byte{0x00}, std::byte{0x01}, std::byte{0x03},
      std::byte{0x0b}, std::byte{0xff}, std::byte{0xff}, std::byte{0x77}};
  uart_.Write(0, data);
  EXPECT_EQ(backend_.output(), "A");
  std::array<std::byte, 8> read{};
  uart_.Read(0, read);
  EXPECT_EQ(read[2], std::byte{0xc1});
  EXPECT_EQ(read[3], std::byte{0x03});
  EXPECT_EQ(read[4], std::byte{0x0b});
  EXPECT_EQ(read[7], std::byte{0x77});
}

TEST_F(UartTest, EveryWidthAtEveryOffsetIsAnswered) {
  for (uint64_t offset = 0; offset < 8; ++offset) {
    for (size_t width = 1; width <= 8; ++width) {
      std::vector<std::byte> ones(width, std::byte{0xff});
      uart_.Write(offset, ones);
      uart_.Read(offset, ones);
    }
  }
  uart_.Reset();
  EXPECT_EQ(In(kLsr), 0x60);
}

TEST_F(UartTest, BeyondTheRegistersThereIsNothing) {
  EXPECT_EQ(In(8), 0xff);
  EXPECT_EQ(In(UINT64_MAX), 0xff);
  Out(8, 1);
}

TEST_F(UartTest, ResetGoesBackToPowerOn) {
  Out(kIer, 0x02);
  Out(kLcr, 0x83);
  Out(kScr, 0x12);
  ASSERT_TRUE(irq());
  uart_.Reset();
  EXPECT_FALSE(irq());
  EXPECT_EQ(In(kLcr), 0);
  EXPECT_EQ(In(kScr), 0);
  EXPECT_EQ(In(kIer), 0);
  EXPECT_EQ(backend_.flushes, 1);
}

}  // namespace
}  // namespace kvmlet
