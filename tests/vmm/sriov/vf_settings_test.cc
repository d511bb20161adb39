// SPDX-License-Identifier: Apache-2.0
// Settings of virtual functions as words, in a file, and on interfaces that
// have none.
#include "vmm/sriov/vf_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/vmm/sriov/fake_host.h"

namespace kvmlet::sriov {
namespace {

using testing::HasSubstr;

absl::StatusOr<VfSettings> Parse(const std::string& text) {
  const std::vector<std::string> words =
      absl::StrSplit(text, ' ', absl::SkipEmpty());
  return ParseVfSettings(words);
}

TEST(VfSettingsTest, TextIsWhatWasParsed) {
  for (const char* text :
       {"", "mac=02:00:00:00:00:fe vlan=4094 trust=on spoofchk=off", "vlan=0",
        "trust=off", "mac=00:00:00:00:00:00 spoofchk=on"}) {
    const auto settings = Parse(text);
    ASSERT_TRUE(settings.ok()) << text;
    EXPECT_EQ(settings->Text(), text);
  }
}

TEST(VfSettingsTest, WrongWordsAreNamed) {
  for (const auto& [text, why] :
       std::vector<std::pair<std::string, std::string>>{
           {"mac=02:00:00:00:00", "mac is an address"},
           {"mac=02:00:00:00:00:1", "mac is an address"},
           {"mac=02:00:00:00:00:xx", "mac is an address"},
           {"mac=01:00:00:00:00:01", "mac is an address"},  // a group's
           {"vlan=4095", "vlan is a number"},
           {"vlan=-1", "vlan is a number"},
           {"vlan=", "vlan is a number"},
           {"trust=yes", "trust is on or off"},
           {"spoofchk=1", "spoofchk is on or off"},
           {"rate=5", "'rate' is no setting"},
           {"mac", "'mac' is not NAME=VALUE"}}) {
    const auto settings = Parse(text);
    ASSERT_FALSE(settings.ok()) << text;
    EXPECT_THAT(settings.status().message(), HasSubstr(why));
  }
}

TEST(VfSettingsTest, SavedOnesComeBack) {
  const std::string path = testing::TempDir() + "/saved-vfs";
  std::filesystem::remove(path);
  EXPECT_TRUE(LoadSavedVfs(path)->empty());
  SavedVfs saved;
  saved[{"0000:01:00.0", 1}] = *Parse("mac=00:00:00:00:00:00 vlan=0");
  saved[{"0000:02:00.0", 0}] = *Parse("spoofchk=on");
  ASSERT_TRUE(StoreSavedVfs(path, saved).ok());
  EXPECT_EQ(*LoadSavedVfs(path), saved);
  EXPECT_EQ(
      std::filesystem::status(path).permissions(),
      std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::ofstream(path) << "something else\n";
  const auto wrong = LoadSavedVfs(path);
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.status().message(), HasSubstr("--state " + path));
}

TEST(VfSettingsTest, AFunctionWithoutInterfaceSaysWhatItsDriverIs) {
  const FakeHost host;
  host.SetDriver(FakeHost::kPf, "vfio-pci");
  const auto none = InterfaceOf(host.paths(), host.Facts());
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.status().message(), HasSubstr("vfio-pci: kvmlet sriov"));
  std::filesystem::create_directories(
      host.paths().sys + "/" + FakeHost::Of(FakeHost::kPf) + "/net/eth7");
  EXPECT_EQ(*InterfaceOf(host.paths(), host.Facts()), "eth7");
}

TEST(VfSettingsTest, NoInterfaceOfThisName) {
  const auto read = ReadVf("none-such0", 0);
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.status().message(), HasSubstr("none-such0"));
  EXPECT_FALSE(SetVf("none-such0", 0, *Parse("vlan=1")).ok());
  EXPECT_TRUE(SetVf("none-such0", 0, {}).ok());
  // One that is no card has no virtual functions.
  EXPECT_THAT(ReadVf("lo", 0).status().message(),
              HasSubstr("there is no virtual function 0"));
}

}  // namespace
}  // namespace kvmlet::sriov
