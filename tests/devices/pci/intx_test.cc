// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/intx.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_interrupts.h"

namespace kvmlet::pci {
namespace {

class IntxTest : public ::testing::Test {
 protected:
  fakes::FakeInterrupts interrupts_;
  SharedLine shared_{*interrupts_.CreateLine(16)};
};

TEST_F(IntxTest, LineIsHighWhileAnyPinIs) {
  const auto a = shared_.AddPin();
  const auto b = shared_.AddPin();
  a->Set(true);
  b->Set(true);
  a->Set(false);
  EXPECT_TRUE(interrupts_.line(0).asserted);
  b->Set(false);
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(IntxTest, APinCountsOnce) {
  const auto a = shared_.AddPin();
  a->Set(true);
  a->Set(true);
  a->Set(false);
  EXPECT_FALSE(interrupts_.line(0).asserted);
  a->Set(false);
  EXPECT_EQ(interrupts_.line(0).rises, 1);
}

TEST_F(IntxTest, ADyingPinLowersItself) {
  auto a = shared_.AddPin();
  a->Set(true);
  a.reset();
  EXPECT_FALSE(interrupts_.line(0).asserted);
}

TEST_F(IntxTest, AGatedPinRisesWhenItIsAllowed) {
  IntxPin pin;
  pin.Connect(shared_.AddPin());
  pin.SetAllowed(false);
  pin.Set(true);
  EXPECT_FALSE(interrupts_.line(0).asserted);
  EXPECT_TRUE(pin.asserted());
  pin.SetAllowed(true);
  EXPECT_TRUE(interrupts_.line(0).asserted);
}

TEST_F(IntxTest, AnUnconnectedPinIsSafe) {
  IntxPin pin;
  pin.Set(true);
  pin.SetAllowed(false);
  EXPECT_TRUE(pin.asserted());
}

}  // namespace
}  // namespace kvmlet::pci
