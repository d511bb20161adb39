// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/msix.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/fakes/fake_interrupts.h"
#include "vmm/bus/io_device.h"

namespace kvmlet::pci {
namespace {

constexpr uint16_t kVectors = 4;
constexpr uint64_t kControl = 12;

class MsixTest : public ::testing::Test {
 protected:
  uint64_t Read(uint64_t offset, size_t width) {
    std::array<std::byte, 8> bytes{};
    msix_->ReadTable(offset, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  uint64_t Pba(uint64_t offset, size_t width) {
    std::array<std::byte, 8> bytes{};
    msix_->ReadPba(offset, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void Write(uint64_t offset, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    msix_->WriteTable(offset, std::span(bytes).first(width));
  }
  void SetEntry(uint64_t vector, uint32_t data, uint32_t control) {
    Write(vector * 16, 4, 0xfee01000);
    Write(vector * 16 + 4, 4, 0);
    Write(vector * 16 + 8, 4, data);
    Write(vector * 16 + kControl, 4, control);
  }

  fakes::FakeInterrupts interrupts_;
  std::unique_ptr<Msix> msix_ =
      *Msix::Create(interrupts_, kVectors, /*device_id=*/0x18, "test");
};

TEST_F(MsixTest, VectorsStartMasked) {
  for (uint64_t i = 0; i < kVectors; ++i) {
    EXPECT_EQ(Read(i * 16 + kControl, 4), 1u);
  }
}

TEST_F(MsixTest, AnUnmaskedVectorIsDelivered) {
  msix_->SetControl(true, false);
  SetEntry(1, 0x41, 0);
  msix_->Trigger(1);
  EXPECT_EQ(interrupts_.msi(1).delivered, 1);
  EXPECT_EQ(interrupts_.msi(1).committed, (MsiMessage{0xfee01000, 0x41, 0x18}));
}

TEST_F(MsixTest, AMaskedVectorStaysPendingUntilItIsUnmasked) {
  msix_->SetControl(true, false);
  SetEntry(2, 0x42, 1);
  msix_->Trigger(2);
  EXPECT_EQ(interrupts_.msi(2).delivered, 0);
  EXPECT_EQ(Pba(0, 8), 4u);

  Write(2 * 16 + kControl, 4, 0);

  EXPECT_EQ(interrupts_.msi(2).delivered, 1);
  EXPECT_EQ(Pba(0, 4), 0u);
}

// 6.8.2: routes first, then one commit, then the connections.
TEST_F(MsixTest, ClearingTheFunctionMaskCommitsOnce) {
  msix_->SetControl(true, true);
  for (uint32_t i = 0; i < kVectors; ++i) SetEntry(i, 0x50 + i, 0);
  EXPECT_EQ(interrupts_.commits(), 0);
  msix_->Trigger(3);

  msix_->SetControl(true, false);

  EXPECT_EQ(interrupts_.commits(), 1);
  for (size_t i = 0; i < kVectors; ++i) {
    EXPECT_FALSE(interrupts_.msi(i).unmasked_before_commit);
    EXPECT_FALSE(interrupts_.msi(i).masked);
  }
  EXPECT_EQ(interrupts_.msi(3).delivered, 1);
}

TEST_F(MsixTest, FunctionMaskHoldsEveryVectorBack) {
  msix_->SetControl(true, false);
  SetEntry(0, 0x40, 0);
  msix_->SetControl(true, true);
  msix_->Trigger(0);
  EXPECT_EQ(interrupts_.msi(0).delivered, 0);
  EXPECT_EQ(Pba(0, 8), 1u);
}

TEST_F(MsixTest, DisablingDisconnects) {
  msix_->SetControl(true, false);
  SetEntry(0, 0x40, 0);
  msix_->SetControl(false, false);
  EXPECT_TRUE(interrupts_.msi(0).masked);
  EXPECT_FALSE(msix_->Enabled());
}

TEST_F(MsixTest, ANewMessageOfALiveVectorTakesEffect) {
  msix_->SetControl(true, false);
  SetEntry(0, 0x40, 0);
  Write(8, 4, 0x99);
  msix_->Trigger(0);
  EXPECT_EQ(interrupts_.msi(0).committed.data, 0x99u);
  EXPECT_EQ(interrupts_.msi(0).delivered, 1);
}

TEST_F(MsixTest, QuadwordAccessesWork) {
  Write(16, 8, 0x00000001fee0200f);
  Write(24, 8, 0x0000000000000077);
  EXPECT_EQ(Read(16, 8), 0x00000001fee0200cu);  // two reserved bits
  EXPECT_EQ(Read(24, 8), 0x77u);
}

TEST_F(MsixTest, ReservedControlBitsReadAsZero) {
  Write(kControl, 4, 0xffffffff);
  EXPECT_EQ(Read(kControl, 4), 1u);
}

// 6.8.2: "software must use aligned full DWORD or aligned full QWORD".
TEST_F(MsixTest, OtherAccessesReadAsOnesAndAreIgnored) {
  Write(kControl, 1, 0);
  Write(kControl, 2, 0);
  Write(kControl - 2, 4, 0);
  Write(kControl, 8, 0);
  EXPECT_EQ(Read(kControl, 4), 1u);
  EXPECT_EQ(Read(kControl, 1), 0xffu);
  EXPECT_EQ(Read(2, 4), 0xffffffffu);
}

TEST_F(MsixTest, AccessesBeyondTheTableAreSafe) {
  Write(kVectors * 16, 4, 0);
  Write(~uint64_t{7}, 8, 0);
  EXPECT_EQ(Read(kVectors * 16, 8), ~uint64_t{0});
  EXPECT_EQ(Pba(8, 8), ~uint64_t{0});
  EXPECT_EQ(Pba(4, 4), 0u);
}

TEST_F(MsixTest, VectorsBeyondTheTableAreSafe) {
  msix_->Trigger(kVectors);
  msix_->Trigger(0xffff);
  EXPECT_EQ(msix_->EventFdOf(kVectors), -1);
  EXPECT_GE(msix_->EventFdOf(0), 0);
}

TEST_F(MsixTest, AHostThatRefusesARouteLeavesTheVectorPending) {
  interrupts_.FailRoutes();
  msix_->SetControl(true, false);
  SetEntry(0, 0x40, 0);
  msix_->Trigger(0);
  EXPECT_EQ(interrupts_.msi(0).delivered, 0);
  EXPECT_EQ(Pba(0, 8), 1u);
}

TEST_F(MsixTest, ResetForgetsMessagesMasksAndPendingBits) {
  msix_->SetControl(true, false);
  SetEntry(0, 0x40, 0);
  SetEntry(1, 0x41, 1);
  msix_->Trigger(1);

  msix_->Reset();

  EXPECT_FALSE(msix_->Enabled());
  EXPECT_EQ(Read(0, 8), 0u);
  EXPECT_EQ(Read(kControl, 4), 1u);
  EXPECT_EQ(Pba(0, 8), 0u);
  EXPECT_TRUE(interrupts_.msi(0).masked);
}

}  // namespace
}  // namespace kvmlet::pci
