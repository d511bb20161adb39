// SPDX-License-Identifier: Apache-2.0
// The completion in a real bash: the words before the cursor, as readline
// splits them, and what the function then offers.
#include "vmm/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/vmm/cli/shell.h"
#include "vmm/cli/commands.h"

namespace kvmlet::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class CompletionTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("completion-") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_ / "images");
    std::ofstream(folder_ / "disk.img") << "x";
    std::ofstream(folder_ / "kvmlet.bash") << BashCompletion();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> Complete(std::vector<std::string> words) {
    std::string command = "cd '" + folder_.string() +
                          "' && bash --norc -c 'source ./kvmlet.bash; "
                          "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
                          "_kvmlet; printf \"%s\\n\" \"${COMPREPLY[@]}\"' "
                          "bash kvmlet";
    for (const std::string& word : words) command += " '" + word + "'";
    std::istringstream lines(Shell(command + " 2>&1"));
    std::vector<std::string> offers;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) offers.push_back(line);
    }
    return offers;
  }

  std::filesystem::path folder_;
};

TEST_F(CompletionTest, TheScriptIsCleanBash) {
  EXPECT_EQ(Shell("cd '" + folder_.string() + "' && bash -n kvmlet.bash 2>&1"),
            "");
}

TEST_F(CompletionTest, OffersCommands) {
  EXPECT_THAT(Complete({"d"}), ElementsAre("doctor"));
  EXPECT_THAT(Complete({""}), Contains("run"));
}

TEST_F(CompletionTest, OffersFlags) {
  EXPECT_THAT(Complete({"run", "--ker"}), ElementsAre("--kernel"));
  EXPECT_THAT(Complete({"doctor", "--p"}), ElementsAre("--probe"));
  EXPECT_THAT(Complete({"run", "--nor"}), ElementsAre("--norng"));
}

TEST_F(CompletionTest, OffersEveryFlagOfRun) {
  const std::vector<std::string> offers = Complete({"run", "--"});
  for (const FlagSpec& flag : RunFlags()) {
    EXPECT_THAT(offers, Contains("--" + std::string(flag.name)));
  }
}

TEST_F(CompletionTest, OffersFlagsBehindAnEmptyWord) {
  EXPECT_THAT(Complete({"run", ""}), Contains("--kernel"));
}

TEST_F(CompletionTest, OffersFilesForAPath) {
  EXPECT_THAT(Complete({"run", "--kernel", ""}),
              UnorderedElementsAre("disk.img", "images/", "kvmlet.bash"));
  EXPECT_THAT(Complete({"run", "--disk", "di"}), ElementsAre("disk.img"));
}

TEST_F(CompletionTest, OffersFilesBehindAnEqualsSign) {
  EXPECT_THAT(Complete({"run", "--kernel", "=", "di"}),
              ElementsAre("disk.img"));
}

TEST_F(CompletionTest, OffersKeysBehindAComma) {
  EXPECT_THAT(
      Complete({"run", "--disk", "disk.img,"}),
      UnorderedElementsAre("disk.img,ro", "disk.img,id=", "disk.img,serial=",
                           "disk.img,direct", "disk.img,queues="));
}

TEST_F(CompletionTest, OffersNoKeyTwice) {
  EXPECT_THAT(Complete({"run", "--disk", "disk.img,ro,"}),
              Not(Contains("disk.img,ro,ro")));
}

TEST_F(CompletionTest, OffersTheValuesOfAKey) {
  EXPECT_THAT(Complete({"run", "--memory", "1G,hugepages", "=", ""}),
              UnorderedElementsAre("2M", "1G"));
  EXPECT_THAT(Complete({"run", "--net", "tap", "=", "t0,vhost", "=", "o"}),
              UnorderedElementsAre("on", "off"));
}

TEST_F(CompletionTest, OffersKeysBehindAKeyWithAValue) {
  // readline replaces only what stands behind the '='.
  EXPECT_THAT(Complete({"run", "--disk", "disk.img,id", "=", "x,se"}),
              ElementsAre("x,serial="));
}

TEST_F(CompletionTest, OffersFilesForAKey) {
  EXPECT_THAT(Complete({"run", "--memory", "1G,file", "=", "di"}),
              ElementsAre("disk.img"));
}

TEST_F(CompletionTest, OffersKeysFirstWhereNothingLeads) {
  EXPECT_THAT(Complete({"run", "--numa", "c"}), ElementsAre("cpus="));
  EXPECT_THAT(Complete({"run", "--net", ""}), Contains("passt"));
}

TEST_F(CompletionTest, OffersEnumerations) {
  EXPECT_THAT(Complete({"run", "--on-reset", ""}),
              UnorderedElementsAre("reboot", "exit"));
  EXPECT_THAT(Complete({"run", "--log-level", "=", "d"}), ElementsAre("debug"));
  EXPECT_THAT(Complete({"run", "--serial", "f"}), ElementsAre("file:"));
}

TEST_F(CompletionTest, OffersFilesBehindAColon) {
  EXPECT_THAT(Complete({"run", "--serial", "file", ":", "di"}),
              ElementsAre("disk.img"));
}

TEST_F(CompletionTest, KnowsTheTraceOfExits) {
  EXPECT_THAT(Complete({"e"}), ElementsAre("exits"));
  EXPECT_THAT(Complete({"exits", "--l"}), ElementsAre("--list"));
  EXPECT_THAT(Complete({"exits", "disk"}), ElementsAre("disk.img"));
  EXPECT_THAT(Complete({"run", "--trace-exits", "x,s"}),
              ElementsAre("x,size="));
}

TEST_F(CompletionTest, OffersFlagsInPlaceOfAnOptionalValue) {
  EXPECT_THAT(Complete({"run", "--on-hang", "r"}), ElementsAre("report"));
  EXPECT_THAT(Complete({"run", "--on-hang", "--ti"}), ElementsAre("--timeout"));
  EXPECT_THAT(Complete({"run", "--on-hang", ""}), Contains("--kernel"));
}

TEST_F(CompletionTest, ASwitchTakesNoValue) {
  EXPECT_THAT(Complete({"run", "--console", "--ti"}), ElementsAre("--timeout"));
}

TEST_F(CompletionTest, OffersWhatOtherCommandsTake) {
  EXPECT_THAT(Complete({"help", "ru"}), ElementsAre("run"));
  EXPECT_THAT(Complete({"completion", ""}), Contains("bash"));
  EXPECT_THAT(Complete({"ctl", "di"}), ElementsAre("disk.img"));
}

TEST_F(CompletionTest, AnUnknownCommandHasNone) {
  EXPECT_THAT(Complete({"nonsense", "--"}), IsEmpty());
}

}  // namespace
}  // namespace kvmlet::cli
