// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_format.h"

#include <gtest/gtest.h>

#include <string>

namespace kvmlet {
namespace {

Json Parse(const std::string& text) { return ParseJson(text).value_or(Json()); }

TEST(CtlFormatTest, StatusAndVersionAreOneWordLines) {
  EXPECT_EQ(FormatResult("query-status", Parse(R"({"status":"paused"})")),
            "paused\n");
  EXPECT_EQ(FormatResult("query-version", Parse(R"({"package":"kvmlet 1"})")),
            "kvmlet 1\n");
}

TEST(CtlFormatTest, NothingToSayIsNothing) {
  EXPECT_EQ(FormatResult("stop", Parse("{}")), "");
}

TEST(CtlFormatTest, CpusAreATable) {
  const Json cpus =
      Parse(R"([{"cpu-index":0,"thread-id":4321,"__org.kvmlet_exits":12,)"
            R"("props":{"socket-id":0,"core-id":1,"thread-id":0}}])");
  EXPECT_EQ(FormatResult("query-cpus-fast", cpus),
            "CPU  TID   SOCKET  CORE  THREAD  EXITS\n"
            "0    4321  0       1     0       12\n");
}

TEST(CtlFormatTest, MissingFieldsAreDashes) {
  EXPECT_EQ(FormatResult("__org.kvmlet_query-devices",
                         Parse(R"([{"id":"disk0","backend":""}])")),
            "ID     TYPE  ADDRESS  BACKEND\n"
            "disk0  -     -        -\n");
}

TEST(CtlFormatTest, WrongTypesDoNoHarm) {
  for (const char* command :
       {"query-status", "query-version", "query-cpus-fast", "query-commands",
        "__org.kvmlet_query-devices", "__org.kvmlet_query-registers"}) {
    for (const char* result : {"null", "3", "[[[]]]", R"({"props":7})",
                               R"([{"props":7}])", R"("text")"}) {
      FormatResult(command, Parse(result));
    }
  }
}

TEST(CtlFormatTest, UnknownResultsAreIndentedJson) {
  EXPECT_EQ(FormatResult("query-x", Parse(R"({"a":[1]})")),
            "{\n  \"a\": [\n    1\n  ]\n}\n");
}

TEST(CtlFormatTest, EventIsOneLine) {
  EXPECT_EQ(
      FormatEvent(Parse(
          R"({"event":"RESET","data":{"guest":true,"reason":"guest-reset"},)"
          R"("timestamp":{"seconds":1700000000,"microseconds":42}})")),
      "2023-11-14T22:13:20.000042Z RESET guest=true reason=guest-reset\n");
}

TEST(CtlFormatTest, OddEventIsStillALine) {
  EXPECT_EQ(FormatEvent(Parse(R"({"data":[],"timestamp":3})")),
            "1970-01-01T00:00:00.000000Z -\n");
}

TEST(CtlFormatTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[31m\x7f\r\n\tb"), "a?[31m??\n\tb");
  EXPECT_EQ(FormatResult("__org.kvmlet_query-registers",
                         Json{{"text", "rip\x1b]0;x\x07"}}),
            "rip?]0;x?\n");
}

}  // namespace
}  // namespace kvmlet
