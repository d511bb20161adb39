// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "vmm/control/ctl_options.h"

namespace kvmlet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The request as text, or "!error".
std::string Request(const std::vector<std::string>& words) {
  const auto command = ParseCtlCommand(words);
  if (!command.ok()) return "!" + std::string(command.status().message());
  return DumpJson(command->request);
}

TEST(CtlCommandTest, OwnWordsBecomeQmpCommands) {
  EXPECT_EQ(Request({"status"}), R"({"execute":"query-status"})");
  EXPECT_EQ(Request({"stop"}), R"({"execute":"stop"})");
  EXPECT_EQ(Request({"cont"}), R"({"execute":"cont"})");
  EXPECT_EQ(Request({"powerdown"}), R"({"execute":"system_powerdown"})");
  EXPECT_EQ(Request({"reset"}), R"({"execute":"system_reset"})");
  EXPECT_EQ(Request({"quit"}), R"({"execute":"quit"})");
  EXPECT_EQ(Request({"events"}), "null");
}

TEST(CtlCommandTest, InfoBecomesAQuery) {
  EXPECT_EQ(Request({"info", "cpus"}), R"({"execute":"query-cpus-fast"})");
  EXPECT_EQ(Request({"info", "devices"}),
            R"({"execute":"__org.kvmlet_query-devices"})");
  EXPECT_EQ(Request({"info", "memory-devices"}),
            R"({"execute":"query-memory-devices"})");
  EXPECT_EQ(Request({"info", "exits"}),
            R"({"arguments":{"providers":[{"provider":"__org.kvmlet_exits"},)"
            R"({"provider":"__org.kvmlet_exit-monitor-time"},)"
            R"({"provider":"__org.kvmlet_exit-guest-time"}],)"
            R"("target":"vcpu"},"execute":"query-stats"})");
  EXPECT_THAT(Request({"info"}), HasSubstr("!info takes one word"));
}

TEST(CtlCommandTest, ResizeDiskTakesOneId) {
  EXPECT_EQ(Request({"resize-disk", "7"}),
            R"({"arguments":{"id":"7"},"execute":"__org.kvmlet_resize-disk"})");
  EXPECT_EQ(Request({"balloon", "1G"}),
            R"({"arguments":{"value":1073741824},"execute":"balloon"})");
  EXPECT_EQ(Request({"balloon", "value=1G"}), Request({"balloon", "1G"}));
  EXPECT_EQ(Request({"qom-set", "vm0", "requested-size", "1G"}),
            R"({"arguments":{"path":"vm0","property":"requested-size",)"
            R"("value":1073741824},"execute":"qom-set"})");
  EXPECT_EQ(Request({"qom-get", "vm0", "size"}),
            R"({"arguments":{"path":"vm0","property":"size"},)"
            R"("execute":"qom-get"})");
  EXPECT_EQ(Request({"qom-get", "path=vm0", "property=size"}),
            Request({"qom-get", "vm0", "size"}));
  EXPECT_THAT(Request({"qom-set", "vm0", "size"}), HasSubstr("!qom-set takes"));
  EXPECT_THAT(Request({"resize-disk"}), HasSubstr("!resize-disk takes"));
}

TEST(CtlCommandTest, DumpNamesTheFileAsTheCallerSeesIt) {
  EXPECT_EQ(Request({"dump", "/a/b c"}),
            R"({"arguments":{"paging":true,"protocol":"file:/a/b c"},)"
            R"("execute":"dump-guest-memory"})");
  EXPECT_THAT(Request({"dump", "core"}),
              HasSubstr(std::filesystem::current_path().string() + "/core\""));
  EXPECT_THAT(Request({"dump"}), HasSubstr("!dump takes FILE"));
  EXPECT_THAT(Request({"dump", ""}), HasSubstr("!dump takes FILE"));
  EXPECT_THAT(Request({"dump", "a", "b"}), HasSubstr("!dump takes FILE"));
}

TEST(CtlCommandTest, OtherWordsArePassedWithArguments) {
  EXPECT_EQ(Request({"device_add", "size=1G", "on=true", "id=a=b", "n=-3"}),
            R"({"arguments":{"id":"a=b","n":-3,"on":true,"size":1073741824},)"
            R"("execute":"device_add"})");
  EXPECT_THAT(Request({"device_add", "x"}), HasSubstr("write KEY=VALUE"));
  EXPECT_THAT(Request({"device_add", "=x"}), HasSubstr("write KEY=VALUE"));
  EXPECT_THAT(Request({"device_add", "a=1", "a=2"}), HasSubstr("twice"));
}

TEST(CtlCommandTest, QmpTakesJsonOrWords) {
  EXPECT_EQ(Request({"qmp", R"({"execute":"stop","id":5})"}),
            R"({"execute":"stop","id":5})");
  EXPECT_EQ(Request({"qmp", "stop", "a=1"}),
            R"({"arguments":{"a":1},"execute":"stop"})");
  EXPECT_THAT(Request({"qmp"}), HasSubstr("!qmp needs"));
  EXPECT_THAT(Request({"qmp", "{"}), HasSubstr("!qmp: not a JSON object"));
  EXPECT_THAT(Request({"qmp", "{}"}), HasSubstr("!qmp: not a JSON object"));
  EXPECT_THAT(Request({"qmp", R"({"execute":"x"})", "y"}),
              HasSubstr("!qmp: nothing may follow"));
}

TEST(CtlCommandTest, WordsWithoutArgumentsRefuseThem) {
  EXPECT_THAT(Request({"stop", "now"}), HasSubstr("!stop takes no argument"));
  EXPECT_THAT(Request({"events", "x"}), HasSubstr("takes no argument"));
}

TEST(CtlValueTest, GuessesOnlyWhatIsPlain) {
  EXPECT_EQ(DumpJson(ParseCtlValue("18446744073709551615")),
            "18446744073709551615");
  EXPECT_EQ(DumpJson(ParseCtlValue("512M")), "536870912");
  EXPECT_EQ(DumpJson(ParseCtlValue("0x10")), "16");
  EXPECT_EQ(DumpJson(ParseCtlValue("3.5")), "\"3.5\"");
  EXPECT_EQ(DumpJson(ParseCtlValue("00:03.0")), "\"00:03.0\"");
  EXPECT_EQ(DumpJson(ParseCtlValue("")), "\"\"");
  EXPECT_EQ(DumpJson(ParseCtlValue("\"7\"")), "\"7\"");
  EXPECT_EQ(DumpJson(ParseCtlValue("[1,2]")), "[1,2]");
  EXPECT_EQ(DumpJson(ParseCtlValue("[1,")), "\"[1,\"");
  EXPECT_EQ(DumpJson(ParseCtlValue("on")), "\"on\"");
}

std::string OptionsError(const std::vector<std::string>& args) {
  return std::string(ParseCtlOptions(args).status().message());
}

TEST(CtlOptionsTest, OptionsStandAnywhere) {
  const std::vector<std::string> args = {
      "--json", "unix:s",       "stop", "--timeout=2m",
      "x=1",    "--wait-event", "STOP"};
  const auto options = ParseCtlOptions(args);
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->json);
  EXPECT_EQ(options->socket, "s");
  EXPECT_EQ(options->timeout, std::chrono::minutes(2));
  EXPECT_EQ(options->wait_event, "STOP");
  EXPECT_THAT(options->words, ElementsAre("stop", "x=1"));
}

TEST(CtlOptionsTest, DoubleDashEndsOptions) {
  const std::vector<std::string> args = {"s", "--", "--json"};
  const auto options = ParseCtlOptions(args);
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->json);
  EXPECT_THAT(options->words, ElementsAre("--json"));
}

TEST(CtlOptionsTest, ErrorsNameWhatIsWrong) {
  EXPECT_THAT(OptionsError({}), HasSubstr("no socket given"));
  EXPECT_THAT(OptionsError({"s"}), HasSubstr("no command given"));
  EXPECT_THAT(OptionsError({"s", "--timeout"}), HasSubstr("--timeout needs"));
  EXPECT_THAT(OptionsError({"s", "--timeout", "x"}), HasSubstr("--timeout"));
  EXPECT_THAT(OptionsError({"s", "--timeouts=1", "stop"}),
              HasSubstr("unknown option --timeouts=1"));
  EXPECT_THAT(OptionsError({"s", "--wait-event="}),
              HasSubstr("--wait-event needs"));
}

}  // namespace
}  // namespace kvmlet
