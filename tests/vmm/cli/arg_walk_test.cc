// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/arg_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/base/exit_status.h"

namespace kvmlet::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<ArgWalk> Walk(std::vector<std::string> args) {
  return WalkArgs("run", RunFlags(), args);
}

// "flag=value" of each setting.
std::vector<std::string> SettingsOf(const absl::StatusOr<ArgWalk>& walk) {
  std::vector<std::string> all;
  if (!walk.ok()) return {std::string(walk.status().message())};
  for (const Setting& setting : walk->settings) {
    all.push_back(std::string(setting.flag->name) + "=" + setting.value);
  }
  return all;
}

std::string ErrorOf(std::vector<std::string> args) {
  const absl::StatusOr<ArgWalk> walk = Walk(std::move(args));
  EXPECT_EQ(ExitStatusFor(walk.status()), 64);
  EXPECT_EQ(walk.status().message().find('\n'), absl::string_view::npos);
  return std::string(walk.status().message());
}

TEST(ArgWalkTest, AcceptsBothFormsOfAValue) {
  EXPECT_THAT(SettingsOf(Walk({"--kernel", "a", "--initrd=b"})),
              ElementsAre("kernel=a", "initrd=b"));
}

TEST(ArgWalkTest, KeepsEachOccurrenceInOrder) {
  EXPECT_THAT(SettingsOf(Walk({"--disk", "a", "--net=passt", "--disk", "b"})),
              ElementsAre("disk=a", "net=passt", "disk=b"));
}

TEST(ArgWalkTest, SwitchesTakeNoNextWord) {
  EXPECT_THAT(SettingsOf(Walk({"--console", "--norng", "--no-console"})),
              ElementsAre("console=true", "rng=false", "console=false"));
}

TEST(ArgWalkTest, SwitchesAcceptWords) {
  EXPECT_THAT(SettingsOf(Walk({"--rng=off", "--rng=yes", "--rng=0"})),
              ElementsAre("rng=false", "rng=true", "rng=false"));
}

TEST(ArgWalkTest, UnderscoresCountAsDashes) {
  EXPECT_THAT(SettingsOf(Walk({"--append_exact"})),
              ElementsAre("append-exact=true"));
}

TEST(ArgWalkTest, AnOptionalValueMayBeAbsent) {
  EXPECT_THAT(SettingsOf(Walk({"--on-hang", "--timeout", "1"})),
              ElementsAre("on-hang=report", "timeout=1"));
  EXPECT_THAT(SettingsOf(Walk({"--on-hang"})), ElementsAre("on-hang=report"));
}

TEST(ArgWalkTest, AnOptionalValueIsTaken) {
  EXPECT_THAT(SettingsOf(Walk({"--on-hang", "other"})),
              ElementsAre("on-hang=other"));
}

TEST(ArgWalkTest, AValueMayBeginWithDashes) {
  EXPECT_THAT(SettingsOf(Walk({"--append", "-- /bin/sh"})),
              ElementsAre("append=-- /bin/sh"));
}

TEST(ArgWalkTest, AnEmptyValueIsAValue) {
  EXPECT_THAT(SettingsOf(Walk({"--append=", "--append", ""})),
              ElementsAre("append=", "append="));
}

TEST(ArgWalkTest, AValueKeepsItsEqualsSigns) {
  EXPECT_THAT(SettingsOf(Walk({"--append=root=/dev/vda ro=1"})),
              ElementsAre("append=root=/dev/vda ro=1"));
}

TEST(ArgWalkTest, TwoDashesEndTheFlags) {
  const absl::StatusOr<ArgWalk> walk = Walk({"--rng", "--", "--kernel", "x"});
  ASSERT_TRUE(walk.ok());
  EXPECT_THAT(walk->operands, ElementsAre("--kernel", "x"));
}

TEST(ArgWalkTest, HelpWinsOverWhatFollows) {
  const absl::StatusOr<ArgWalk> walk = Walk({"--rng", "-h", "--nonsense"});
  ASSERT_TRUE(walk.ok());
  EXPECT_TRUE(walk->help);
}

TEST(ArgWalkTest, AnUnknownFlagIsOneLineWithASuggestion) {
  EXPECT_EQ(ErrorOf({"--kernal", "x"}),
            "unknown flag --kernal (did you mean --kernel?); see kvmlet run "
            "--help");
}

TEST(ArgWalkTest, AnUnknownFlagLikeNoOtherHasNoSuggestion) {
  EXPECT_EQ(ErrorOf({"--graphics=on"}),
            "unknown flag --graphics; see kvmlet run --help");
}

TEST(ArgWalkTest, ASingleDashIsSuggestedTwo) {
  EXPECT_THAT(ErrorOf({"-kernel", "x"}), HasSubstr("did you mean --kernel?"));
}

TEST(ArgWalkTest, AMissingValueIsNamed) {
  EXPECT_EQ(ErrorOf({"--kernel"}), "--kernel needs a value: --kernel PATH");
}

TEST(ArgWalkTest, AForgottenValueDoesNotEatTheNextFlag) {
  EXPECT_THAT(ErrorOf({"--kernel", "--initrd", "x"}),
              HasSubstr("--kernel needs a value"));
  EXPECT_THAT(ErrorOf({"--kernel", "--initrd=x"}),
              HasSubstr("write --kernel=--initrd=x if that is the value"));
}

TEST(ArgWalkTest, ASwitchWithNonsenseIsAnError) {
  EXPECT_THAT(ErrorOf({"--rng=maybe"}), HasSubstr("--rng or --norng"));
  EXPECT_THAT(ErrorOf({"--norng=on"}), HasSubstr("--rng or --norng"));
}

TEST(ArgWalkTest, OnlySwitchesCanBeNegated) {
  EXPECT_THAT(ErrorOf({"--nokernel"}), HasSubstr("unknown flag --nokernel"));
}

// What gflags and glog would do by themselves must not be reachable.
TEST(ArgWalkTest, TheLibrariesOwnFlagsDoNotExist) {
  for (const char* flag :
       {"--helpfull", "--helpxml", "--version", "--flagfile=x", "--fromenv=x",
        "--tryfromenv=x", "--undefok=x", "--logtostderr", "--v=1",
        "--minloglevel=0", "--log_dir=/tmp", "--tab_completion_word=x"}) {
    EXPECT_THAT(ErrorOf({flag}), HasSubstr("unknown flag")) << flag;
  }
}

TEST(ArgWalkTest, HostileWordsAreErrorsOrOperands) {
  for (const char* word : {"--=", "--=x", "---", "----kernel", "--no", "--no-",
                           "-", "--\xff\xfe", "-\n", "--no=", "--kernel\n"}) {
    const absl::StatusOr<ArgWalk> walk = Walk({word});
    EXPECT_TRUE(!walk.ok() || !walk->operands.empty()) << word;
  }
}

TEST(ArgWalkTest, ManyArgumentsAreFine) {
  const std::vector<std::string> args(100000, "--rng");
  EXPECT_EQ(Walk(args)->settings.size(), args.size());
}

}  // namespace
}  // namespace kvmlet::cli
