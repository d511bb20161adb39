// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/qmp_commands.h"

namespace kvmlet {
namespace {

class QmpSessionTest : public ::testing::Test {
 protected:
  QmpSessionTest() { RegisterMachineCommands(registry_, machine_); }

  // All replies to the bytes, without their line ends.
  std::vector<std::string> Replies(std::string_view bytes) {
    session_.Push(bytes);
    std::vector<std::string> replies;
    while (auto reply = session_.HandleNext()) {
      EXPECT_TRUE(reply->ends_with("\r\n"));
      replies.push_back(reply->substr(0, reply->size() - 2));
    }
    return replies;
  }
  // The only reply.
  std::string Reply(std::string_view bytes) {
    const std::vector<std::string> replies = Replies(bytes);
    EXPECT_EQ(replies.size(), 1u);
    return replies.empty() ? "" : replies.front();
  }
  void Negotiate() { Reply(R"({"execute":"qmp_capabilities"})"); }

  static std::string Generic(const std::string& text) {
    return R"({"error":{"class":"GenericError","desc":")" + text + R"("}})";
  }
  static std::string NotFound(const std::string& text) {
    return R"({"error":{"class":"CommandNotFound","desc":")" + text + R"("}})";
  }

  FakeMachine machine_;
  QmpRegistry registry_;
  QmpSession session_{registry_};
};

TEST_F(QmpSessionTest, GreetingHasVersionAndCapabilities) {
  const auto greeting = ParseJson(QmpSession::Greeting());
  ASSERT_TRUE(greeting);
  const Json& qmp = (*greeting)["QMP"];
  EXPECT_TRUE(qmp["capabilities"].is_array());
  EXPECT_TRUE(qmp["version"]["qemu"]["major"].is_number_integer());
  EXPECT_TRUE(qmp["version"]["qemu"]["minor"].is_number_integer());
  EXPECT_TRUE(qmp["version"]["qemu"]["micro"].is_number_integer());
  EXPECT_THAT(StringMember(qmp["version"], "package"),
              ::testing::StartsWith("kvmlet "));
}

TEST_F(QmpSessionTest, RefusesCommandsBeforeNegotiation) {
  EXPECT_EQ(Reply(R"({"execute":"quit","id":1})"),
            R"({"error":{"class":"CommandNotFound","desc":"Expecting )"
            R"(capabilities negotiation with 'qmp_capabilities'"},"id":1})");
  EXPECT_EQ(machine_.quits, 0);
}

TEST_F(QmpSessionTest, NegotiatesOnce) {
  EXPECT_EQ(Reply(R"({"execute":"qmp_capabilities"})"), R"({"return":{}})");
  EXPECT_TRUE(session_.negotiated());
  EXPECT_EQ(Reply(R"({"execute":"qmp_capabilities"})"),
            NotFound("Capabilities negotiation is already complete, command "
                     "ignored"));
}

TEST_F(QmpSessionTest, NegotiatesWithEmptyEnableList) {
  EXPECT_EQ(
      Reply(R"({"execute":"qmp_capabilities","arguments":{"enable":[]}})"),
      R"({"return":{}})");
}

TEST_F(QmpSessionTest, RefusesCapabilityThatIsNotOffered) {
  const std::string reply =
      Reply(R"({"execute":"qmp_capabilities","arguments":{"enable":["oob"]}})");
  EXPECT_THAT(reply, ::testing::HasSubstr("GenericError"));
  EXPECT_FALSE(session_.negotiated());
}

TEST_F(QmpSessionTest, RefusesOtherArgumentsOfNegotiation) {
  EXPECT_EQ(Reply(R"({"execute":"qmp_capabilities","arguments":{"x":1}})"),
            Generic("Parameter 'x' is unexpected"));
  EXPECT_EQ(Reply(R"({"execute":"qmp_capabilities","arguments":{"enable":1}})"),
            Generic("Invalid parameter type for 'enable', expected: array"));
}

TEST_F(QmpSessionTest, EchoesIdsOfEveryType) {
  Negotiate();
  for (const std::string id :
       {"1", "-5", "1.5", "\"text\"", "null", "true", "[1,[2]]",
        "{\"a\":{\"b\":null}}", "18446744073709551615"}) {
    EXPECT_EQ(Reply(R"({"execute":"stop","id":)" + id + "}"),
              R"({"id":)" + id + R"(,"return":{}})");
  }
}

TEST_F(QmpSessionTest, EchoesIdOfMalformedRequest) {
  Negotiate();
  EXPECT_EQ(Reply(R"({"id":"x"})"),
            R"({"error":{"class":"GenericError","desc":"QMP input lacks )"
            R"(member 'execute'"},"id":"x"})");
}

TEST_F(QmpSessionTest, NamesUnknownCommand) {
  Negotiate();
  EXPECT_EQ(Reply(R"({"execute":"human-monitor-command"})"),
            NotFound("The command human-monitor-command has not been found"));
}

TEST_F(QmpSessionTest, CutsLongNamesInErrors) {
  Negotiate();
  const std::string name(100'000, 'n');
  EXPECT_LT(Reply(R"({"execute":")" + name + R"("})").size(), 300u);
}

TEST_F(QmpSessionTest, RefusesWrongShapes) {
  Negotiate();
  EXPECT_EQ(Reply("[]"), Generic("QMP input must be a JSON object"));
  EXPECT_EQ(Reply("{}"), Generic("QMP input lacks member 'execute'"));
  EXPECT_EQ(Reply(R"({"execute":1})"),
            Generic("QMP input member 'execute' must be a string"));
  EXPECT_EQ(Reply(R"({"execute":"stop","arguments":[]})"),
            Generic("QMP input member 'arguments' must be an object"));
  EXPECT_EQ(Reply(R"({"execute":"stop","foo":1})"),
            Generic("QMP input member 'foo' is unexpected"));
  EXPECT_EQ(Reply(R"({"exec-oob":"stop"})"),
            Generic("QMP input member 'exec-oob' is unexpected"));
  EXPECT_EQ(machine_.state, RunState::kRunning);
}

TEST_F(QmpSessionTest, ReportsSyntaxAndGoesOn) {
  Negotiate();
  EXPECT_THAT(
      Replies(R"({"execute" "stop"}{"execute":"stop"})"),
      ::testing::ElementsAre(Generic("JSON parse error, invalid syntax"),
                             R"({"return":{}})"));
}

TEST_F(QmpSessionTest, GarbageIsAnErrorAndTheStreamGoesOn) {
  Negotiate();
  EXPECT_THAT(
      Replies("\x01\xff what\n{\"execute\":\"stop\"}\n"),
      ::testing::ElementsAre(Generic("JSON parse error, expecting an object"),
                             R"({"return":{}})"));
}

TEST_F(QmpSessionTest, InvalidUtf8IsAnError) {
  Negotiate();
  EXPECT_EQ(Reply("{\"execute\":\"\xc3\x28\"}"),
            Generic("JSON parse error, invalid syntax"));
}

TEST_F(QmpSessionTest, AnswersPipelinedCommandsInOrder) {
  Negotiate();
  EXPECT_THAT(Replies(R"({"execute":"stop","id":1}{"execute":"query-status",)"
                      R"("id":2}{"execute":"cont","id":3})"),
              ::testing::ElementsAre(
                  R"({"id":1,"return":{}})",
                  R"({"id":2,"return":{"running":false,"status":"paused"}})",
                  R"({"id":3,"return":{}})"));
}

TEST_F(QmpSessionTest, LastOfTwoEqualKeysCounts) {
  Negotiate();
  EXPECT_EQ(Reply(R"({"execute":"quit","execute":"stop"})"),
            R"({"return":{}})");
  EXPECT_EQ(machine_.quits, 0);
}

TEST_F(QmpSessionTest, HugeMessageIsRefusedInOneLine) {
  Negotiate();
  const std::string huge = R"({"execute":")" + std::string(2 << 20, 'x') +
                           "\"}\n{\"execute\":\"stop\"}";
  EXPECT_THAT(Replies(huge),
              ::testing::ElementsAre(
                  Generic("JSON parse error, more than 1048576 bytes"),
                  R"({"return":{}})"));
}

}  // namespace
}  // namespace kvmlet
