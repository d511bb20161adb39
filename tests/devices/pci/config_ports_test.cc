// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/config_ports.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_pci_device.h"

namespace kvmlet::pci {
namespace {

class CountingRequests : public GuestRequests {
 public:
  void PowerOff(Door) override {}
  void Reset(Door door) override {
    if (door == Door::kPciReset) ++resets;
  }
  void Exit(Door, uint64_t, std::string) override {}
  void Panic(Door, bool) override {}
  int resets = 0;
};

class ConfigPortsTest : public ::testing::Test {
 protected:
  ConfigPortsTest() {
    EXPECT_TRUE(
        root_->Add(std::make_unique<fakes::FakePciDevice>(), PciAddress{3, 0})
            .ok());
  }
  uint64_t In(uint16_t port, size_t width) {
    std::array<std::byte, 4> bytes{};
    ports_.Read(port - 0xcf8u, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Out(uint16_t port, size_t width, uint64_t value) {
    std::array<std::byte, 4> bytes{};
    StoreLe(value, bytes);
    ports_.Write(port - 0xcf8u, std::span(bytes).first(width));
  }

  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  CountingRequests requests_;
  std::unique_ptr<PciRoot> root_ = *PciRoot::Create(
      {*AddressRange::Make(0xe0000000, 0x10000000),
       *AddressRange::Make(0xc0000000, 0x1000000),
       *AddressRange::Make(0x4000000000, 0x1000000)},
      interrupts_, doorbells_, [](uint32_t, uint32_t) { return 16; });
  ConfigPorts ports_{*root_, requests_};
};

TEST_F(ConfigPortsTest, ReadsTheRegisterThatTheAddressNames) {
  Out(0xcf8, 4, 0x80001800);
  EXPECT_EQ(In(0xcfc, 4), 0x56781234u);
  EXPECT_EQ(In(0xcfe, 2), 0x5678u);
  EXPECT_EQ(In(0xcfd, 1), 0x12u);
}

TEST_F(ConfigPortsTest, WritesTheRegisterThatTheAddressNames) {
  Out(0xcf8, 4, 0x8000183c);
  Out(0xcfc, 1, 0x0b);
  EXPECT_EQ(In(0xcfc, 1), 0x0bu);
}

TEST_F(ConfigPortsTest, AddressReadsBackWithoutReservedBits) {
  Out(0xcf8, 4, 0xffffffff);
  EXPECT_EQ(In(0xcf8, 4), 0x80fffffcu);
}

TEST_F(ConfigPortsTest, DisabledAddressReadsAsOnes) {
  Out(0xcf8, 4, 0x00001800);
  EXPECT_EQ(In(0xcfc, 4), 0xffffffffu);
  Out(0xcfc, 4, 0);
}

TEST_F(ConfigPortsTest, MissingFunctionsReadAsOnes) {
  for (const uint64_t address : {0x80001900u, 0x80002000u, 0x80011800u}) {
    Out(0xcf8, 4, address);
    EXPECT_EQ(In(0xcfc, 4), 0xffffffffu);
  }
}

TEST_F(ConfigPortsTest, NarrowWritesDoNotReachTheAddress) {
  Out(0xcf8, 4, 0x80001800);
  Out(0xcf8, 1, 0xff);
  Out(0xcfa, 2, 0xffff);
  EXPECT_EQ(In(0xcf8, 4), 0x80001800u);
}

// As a kernel does it: first the kind of reset, then the edge.
TEST_F(ConfigPortsTest, ResetControlResetsTheMachine) {
  Out(0xcf9, 1, 0x02);
  EXPECT_EQ(requests_.resets, 0);
  EXPECT_EQ(In(0xcf9, 1), 0x02u);
  Out(0xcf9, 1, 0x06);
  EXPECT_EQ(requests_.resets, 1);
}

TEST_F(ConfigPortsTest, ResetClearsTheAddress) {
  Out(0xcf8, 4, 0x80001800);
  ports_.Reset();
  EXPECT_EQ(In(0xcf8, 4), 0u);
}

}  // namespace
}  // namespace kvmlet::pci
