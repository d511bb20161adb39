// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/rom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "devices/pci/spec.h"
#include "tests/devices/vfio/vfio_fixture.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::vfio {
namespace {

using ::testing::HasSubstr;

class RomTest : public VfioFixture {
 protected:
  RomTest() {
    other_.rom.resize(0x4000);
    for (size_t i = 0; i < other_.rom.size(); ++i) {
      other_.rom[i] = static_cast<std::byte>(i / 0x100 + 1);
    }
  }
  ~RomTest() override { std::filesystem::remove(path_); }
  // On the bus, from now on what ReadConfig and WriteConfig reach.
  void Put(const RomSource& source) {
    auto function = Create(other_, source);
    ASSERT_TRUE(function.ok()) << function.status();
    address_ = *root_->AddRemovable(*std::move(function));
  }
  std::string File(const std::string& content) {
    std::ofstream(path_) << content;
    return path_;
  }
  uint64_t Register() { return ReadConfig(pci::kExpansionRom, 4); }
  void Enable() { WriteConfig(pci::kExpansionRom, Register() | 1, 4); }

  fakes::FakeDevice& other_ = kernel_.AddNetwork("0000:02:00.0", 9);
  const std::string path_ =
      ::testing::TempDir() + "/rom-" + std::to_string(::getpid());
};

TEST_F(RomTest, TheDevicesOwnIsReadOnce) {
  Put({});
  const uint64_t at = Register();
  EXPECT_EQ(at & 0x7ff, 0u) << "it is switched on at first";
  EXPECT_TRUE(at >= kWindow32 && at < kWindow32 + kWindowSize);
  EXPECT_EQ(ReadMmio(at, 4), 0xffffffffu) << "it answers while it is off";
  EXPECT_EQ(other_.rom_reads, 0);
  Enable();
  EXPECT_EQ(ReadMmio(at, 4), 0x01010101u);
  EXPECT_EQ(ReadMmio(at + 0x3ff8, 8), 0x4040404040404040u);
  EXPECT_EQ(other_.rom_reads, 4);
  EXPECT_EQ(ReadMmio(at + 0x100, 2), 0x0202u);
  EXPECT_EQ(other_.rom_reads, 4);
}

TEST_F(RomTest, IsSizedAndMovedAsABarIs) {
  Put({});
  Enable();
  WriteConfig(pci::kExpansionRom, 0xfffff801, 4);
  EXPECT_EQ(Register(), 0xffffc001u);
  const uint64_t to = kWindow32 + 0x800000;
  WriteConfig(pci::kExpansionRom, to | 1, 4);
  EXPECT_EQ(ReadMmio(to + 0x100, 1), 0x02u);
  WriteConfig(pci::kCommand, 0, 2);
  EXPECT_EQ(ReadMmio(to, 4), 0xffffffffu);
}

TEST_F(RomTest, CannotBeWritten) {
  Put({});
  Enable();
  const uint64_t at = Register() & ~1ull;
  for (const size_t width : {1u, 2u, 4u, 8u}) {
    WriteMmio(at + 1, 0x5a5a5a5a5a5a5a5a, width);
  }
  EXPECT_EQ(ReadMmio(at, 8), 0x0101010101010101u);
  EXPECT_EQ(mapper_.Mapped().size(), 6u) << "it is no memory of the guest";
}

TEST_F(RomTest, ResetSwitchesItOff) {
  Put({});
  const uint64_t at = Register();
  WriteConfig(pci::kExpansionRom, (kWindow32 + 0x800000) | 1, 4);
  root_->Reset();
  EXPECT_EQ(Register(), at);
}

TEST_F(RomTest, AFileTakesItsPlace) {
  Put({.shown = true, .file = File(std::string(3000, 'R'))});
  WriteConfig(pci::kExpansionRom, 0xfffff800, 4);
  EXPECT_EQ(Register(), 0xfffff000u) << "4 KiB hold it";
  WriteConfig(pci::kExpansionRom, kWindow32 + 0x800001, 4);
  EXPECT_EQ(ReadMmio(kWindow32 + 0x800000 + 2996, 8), 0xffffffff52525252u);
  EXPECT_EQ(ReadMmio(kWindow32 + 0x800ff8, 8), UINT64_MAX);
  EXPECT_EQ(other_.rom_reads, 0);
}

TEST_F(RomTest, NoneIsShownWhenItIsOffOrTheDeviceHasNone) {
  Put({.shown = false, .file = ""});
  WriteConfig(pci::kExpansionRom, 0xffffffff, 4);
  EXPECT_EQ(Register(), 0u);
  root_->Remove(address_);
  other_.rom.clear();
  Put({});
  WriteConfig(pci::kExpansionRom, 0xffffffff, 4);
  EXPECT_EQ(Register(), 0u);
}

TEST_F(RomTest, FilesThatAreNoneAreRefused) {
  const auto refusal = [&](const std::string& file) {
    return Create(other_, {.shown = true, .file = file}).status();
  };
  EXPECT_EQ(ExitStatusFor(refusal("/nowhere/rom")), 66);
  EXPECT_THAT(std::string(refusal("/nowhere/rom").message()),
              HasSubstr("romfile=/nowhere/rom"));
  for (const std::string& file : {std::string("/dev/zero"), File("")}) {
    EXPECT_EQ(ExitStatusFor(refusal(file)), 65);
    EXPECT_THAT(std::string(refusal(file).message()), HasSubstr("rom=off"));
  }
  File("x");
  std::filesystem::resize_file(path_, (16 << 20) + 1);
  EXPECT_EQ(ExitStatusFor(refusal(path_)), 65);
}

// The number of a BAR that holds MSI-X tables has three bits, and the ROM's is
// one of their values.
TEST_F(RomTest, HoldsNoMsixTable) {
  other_.SetConfig(0x74, 0x00000006, 4);
  EXPECT_EQ(Create(other_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RomTest, DeviceThatIsGoneReadsAsOnes) {
  Put({});
  Enable();
  other_.gone = true;
  EXPECT_EQ(ReadMmio(Register() & ~1ull, 4), 0xffffffffu);
}

}  // namespace
}  // namespace kvmlet::vfio
