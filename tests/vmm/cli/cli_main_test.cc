// SPDX-License-Identifier: Apache-2.0
#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/cli/commands.h"

namespace kvmlet::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CliMainTest : public testing::Test {
 protected:
  // Runs it with these words behind "kvmlet"; out_ and err_ are what it wrote.
  int Call(std::vector<const char*> words) {
    words.insert(words.begin(), "kvmlet");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int status =
        Main(static_cast<int>(words.size()), words.data(), handlers_);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return status;
  }

  Handlers handlers_{[this](const VmConfig& config) {
                       kernel_ = config.kernel;
                       LOG(INFO) << "a detail";
                       LOG(WARNING) << "a warning";
                       return 42;
                     },
                     [this](std::span<const std::string> args) {
                       ctl_args_.assign(args.begin(), args.end());
                       return 7;
                     },
                     [this](std::span<const std::string> args) {
                       sriov_args_.assign(args.begin(), args.end());
                       return 8;
                     },
                     [this](const ExitsRequest& request) {
                       exits_ = request;
                       return 9;
                     }};
  std::string out_;
  std::string err_;
  std::string kernel_;
  std::vector<std::string> ctl_args_;
  std::vector<std::string> sriov_args_;
  ExitsRequest exits_;
};

TEST_F(CliMainTest, NoArgumentsAreAUsageError) {
  EXPECT_EQ(Call({}), 64);
  EXPECT_THAT(err_, StartsWith("usage: kvmlet"));
  EXPECT_EQ(out_, "");
}

TEST_F(CliMainTest, NoArgvAtAllIsAUsageErrorToo) {
  const char* const argv[] = {nullptr};
  testing::internal::CaptureStderr();
  EXPECT_EQ(Main(0, argv, handlers_), 64);
  testing::internal::GetCapturedStderr();
}

TEST_F(CliMainTest, HelpIsNoError) {
  for (const char* word : {"help", "--help", "-h"}) {
    EXPECT_EQ(Call({word}), 0);
    EXPECT_THAT(out_, StartsWith("usage: kvmlet"));
  }
}

TEST_F(CliMainTest, EveryCommandHasHelp) {
  for (const CommandSpec& command : Commands()) {
    const std::string name(command.name);
    EXPECT_EQ(Call({name.c_str(), "--help"}), 0);
    EXPECT_THAT(out_, StartsWith("usage: kvmlet " + name));
    EXPECT_EQ(Call({"help", name.c_str()}), 0);
    EXPECT_THAT(out_, StartsWith("usage: kvmlet " + name));
  }
}

TEST_F(CliMainTest, PrintsItsVersion) {
  EXPECT_EQ(Call({"--version"}), 0);
  EXPECT_THAT(out_, StartsWith("kvmlet "));
}

TEST_F(CliMainTest, RunCallsItsHandler) {
  EXPECT_EQ(Call({"run", "--kernel", "k"}), 42);
  EXPECT_EQ(kernel_, "k");
}

TEST_F(CliMainTest, RunReportsItsErrorInOneLine) {
  EXPECT_EQ(Call({"run", "--kernal", "k"}), 64);
  EXPECT_EQ(err_,
            "kvmlet run: unknown flag --kernal (did you mean --kernel?); see "
            "kvmlet run --help\n");
  EXPECT_EQ(kernel_, "");
}

TEST_F(CliMainTest, RunsHelpIsFoundBehindOtherFlags) {
  EXPECT_EQ(Call({"run", "--kernel", "k", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("--memory SIZE"));
  EXPECT_EQ(kernel_, "");
}

TEST_F(CliMainTest, LogsAreLinesOnStandardError) {
  Call({"run", "--kernel", "k"});
  EXPECT_EQ(err_, "kvmlet: warning: a warning\n");
  Call({"run", "--kernel", "k", "--log-level=info"});
  EXPECT_EQ(err_, "kvmlet: info: a detail\nkvmlet: warning: a warning\n");
  Call({"run", "--kernel", "k", "--log-level=error"});
  EXPECT_EQ(err_, "");
  Call({"run", "--kernel", "k", "--log-level=debug"});
  EXPECT_THAT(err_, StartsWith("kvmlet: info: cli_main_test.cc:"));
}

TEST_F(CliMainTest, CtlGetsItsArgumentsAsTheyAre) {
  EXPECT_EQ(Call({"sriov", "bind", "01:00.0"}), 8);
  EXPECT_THAT(sriov_args_, ElementsAre("bind", "01:00.0"));
  EXPECT_EQ(Call({"ctl", "vm.sock", "--json", "info"}), 7);
  EXPECT_THAT(ctl_args_, ElementsAre("vm.sock", "--json", "info"));
}

TEST_F(CliMainTest, ExitsTakesAFileAndOneFormat) {
  EXPECT_EQ(Call({"exits", "a.trace"}), 9);
  EXPECT_EQ(exits_.path, "a.trace");
  EXPECT_FALSE(exits_.json || exits_.list);
  EXPECT_EQ(Call({"exits", "--list", "a.trace"}), 9);
  EXPECT_TRUE(exits_.list && !exits_.json);
  EXPECT_EQ(Call({"exits", "a.trace", "--json"}), 9);
  EXPECT_TRUE(exits_.json && !exits_.list);
  EXPECT_EQ(Call({"exits"}), 64);
  EXPECT_EQ(err_, "kvmlet exits: name one FILE, as --trace-exits wrote it\n");
  EXPECT_EQ(Call({"exits", "a", "b"}), 64);
  EXPECT_EQ(Call({"exits", "a", "--json", "--list"}), 64);
  EXPECT_EQ(Call({"exits", "a", "--jsom"}), 64);
  EXPECT_THAT(err_, HasSubstr("did you mean --json?"));
  EXPECT_EQ(Call({"exits", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("--[no]list"));
}

TEST_F(CliMainTest, AnUnknownCommandGetsASuggestion) {
  EXPECT_EQ(Call({"doktor"}), 64);
  EXPECT_EQ(err_,
            "kvmlet: unknown command 'doktor' (did you mean doctor?); see "
            "kvmlet help\n");
}

TEST_F(CliMainTest, AnUnknownHelpTopicIsAUsageError) {
  EXPECT_EQ(Call({"help", "nonsense"}), 64);
}

TEST_F(CliMainTest, CompletionNeedsAKnownShell) {
  EXPECT_EQ(Call({"completion"}), 64);
  EXPECT_EQ(Call({"completion", "zsh"}), 64);
  EXPECT_EQ(Call({"completion", "bash"}), 0);
}

TEST_F(CliMainTest, DoctorTakesNoOperands) {
  EXPECT_EQ(Call({"doctor", "please"}), 64);
  EXPECT_EQ(Call({"doctor", "--kernel=x"}), 64);
}

}  // namespace
}  // namespace kvmlet::cli
