// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/vmm/control/test_vm.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

class QmpServerTest : public ::testing::Test {
 protected:
  size_t Clients() {
    size_t clients = 0;
    vm_.OnLoop([&] { clients = vm_.server->clients(); });
    return clients;
  }
  // True when the server comes to that number of clients within ten seconds.
  bool ComesTo(size_t clients) {
    for (int i = 0; i < 2000; ++i) {
      if (Clients() == clients) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  TestVm vm_;
};

TEST_F(QmpServerTest, GreetsEveryClient) {
  RawClient client(vm_.path());
  EXPECT_TRUE(client.Message().contains("QMP"));
}

TEST_F(QmpServerTest, AnswersCommandSplitOverManySends) {
  RawClient client(vm_.path());
  client.Negotiate();
  const std::string text = R"({"execute":"query-name","id":"a b"})";
  for (const char c : text) {
    client.Send({&c, 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(client.Line(), R"({"id":"a b","return":{"name":"fake"}})");
}

TEST_F(QmpServerTest, AnswersPipelinedCommandsWithoutSeparators) {
  RawClient client(vm_.path());
  client.Send(R"({"execute":"qmp_capabilities"}{"execute":"query-name"})"
              R"({"execute":"query-target"})");
  EXPECT_TRUE(client.Message().contains("QMP"));
  EXPECT_EQ(client.Line(), R"({"return":{}})");
  EXPECT_EQ(client.Line(), R"({"return":{"name":"fake"}})");
  EXPECT_EQ(client.Line(), R"({"return":{"arch":"x86_64"}})");
}

TEST_F(QmpServerTest, TwoClientsHaveTheirOwnSessions) {
  RawClient first(vm_.path());
  RawClient second(vm_.path());
  first.Negotiate();
  EXPECT_TRUE(second.Message().contains("QMP"));
  EXPECT_THAT(ErrorOf(second.Run(R"({"execute":"stop"})")),
              HasSubstr("CommandNotFound: Expecting"));
  EXPECT_TRUE(first.Run(R"({"execute":"stop"})").contains("return"));
}

TEST_F(QmpServerTest, EventsReachNegotiatedClientsOnly) {
  RawClient actor(vm_.path());
  RawClient listener(vm_.path());
  RawClient silent(vm_.path());
  actor.Negotiate();
  listener.Negotiate();
  EXPECT_TRUE(silent.Message().contains("QMP"));
  actor.Run(R"({"execute":"stop"})");
  const Json event = listener.Message();
  EXPECT_EQ(StringMember(event, "event"), "STOP");
  EXPECT_TRUE(event["timestamp"]["seconds"].is_number_integer());
  EXPECT_LT(event["timestamp"]["microseconds"].get<int64_t>(), 1'000'000);
  // The next thing the silent client hears is its own reply.
  EXPECT_TRUE(
      silent.Run(R"({"execute":"qmp_capabilities"})").contains("return"));
}

TEST_F(QmpServerTest, EventDataIsPassedOn) {
  RawClient client(vm_.path());
  client.Negotiate();
  vm_.OnLoop([&] { vm_.events.Shutdown(ShutdownCause::kGuestReset); });
  EXPECT_THAT(client.Line(),
              HasSubstr(R"("data":{"guest":true,"reason":"guest-reset"})"));
  vm_.OnLoop([&] { vm_.events.GuestPanicked("poweroff"); });
  EXPECT_THAT(client.Line(), HasSubstr(R"("data":{"action":"poweroff"})"));
  vm_.OnLoop([&] { vm_.server->EmitEvent("__org.kvmlet_X", {{"a", 1}}); });
  EXPECT_THAT(client.Line(), HasSubstr(R"("event":"__org.kvmlet_X")"));
}

TEST_F(QmpServerTest, ReplyToQuitComesBeforeTheEnd) {
  vm_.machine.on_quit = [] {};
  RawClient client(vm_.path());
  client.Negotiate();
  EXPECT_TRUE(client.Run(R"({"execute":"quit"})").contains("return"));
  vm_.StopServer();
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(vm_.machine.quits, 1);
}

TEST_F(QmpServerTest, RunsCommandsOfClientThatEndedItsInput) {
  RawClient client(vm_.path());
  client.Send(R"({"execute":"qmp_capabilities"}{"execute":"query-name"})");
  client.EndOutput();
  EXPECT_TRUE(client.Message().contains("QMP"));
  EXPECT_EQ(client.Line(), R"({"return":{}})");
  EXPECT_EQ(client.Line(), R"({"return":{"name":"fake"}})");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(ComesTo(0));
}

TEST_F(QmpServerTest, RunsCommandsOfClientThatIsGone) {
  {
    RawClient client(vm_.path());
    client.Send(R"({"execute":"qmp_capabilities"}{"execute":"stop"})");
  }
  // It may not even have been accepted when it left: a later client has.
  RawClient later(vm_.path());
  later.Negotiate();
  ASSERT_TRUE(ComesTo(1));
  vm_.OnLoop([&] { EXPECT_EQ(vm_.machine.state, RunState::kPaused); });
}

TEST_F(QmpServerTest, ForgetsClientThatVanishesInMidCommand) {
  {
    RawClient client(vm_.path());
    client.Negotiate();
    client.Send(R"({"execute":"sto)");
  }
  EXPECT_TRUE(ComesTo(0));
  RawClient next(vm_.path());
  next.Negotiate();
  EXPECT_EQ(next.Run(R"({"execute":"query-status"})")["return"]["status"],
            "running");
}

TEST_F(QmpServerTest, GarbageGetsErrorsAndTheSessionGoesOn) {
  RawClient client(vm_.path());
  client.Negotiate();
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(ErrorOf(client.Message()), HasSubstr("JSON parse error"));
  EXPECT_TRUE(client.Run(R"({"execute":"stop"})").contains("return"));
}

TEST_F(QmpServerTest, HugeLineIsOneError) {
  RawClient client(vm_.path());
  client.Negotiate();
  client.Send("{\"execute\":\"" + std::string(8 << 20, 'x') + "\"}\n");
  EXPECT_THAT(ErrorOf(client.Message()), HasSubstr("more than 1048576"));
  EXPECT_TRUE(client.Run(R"({"execute":"stop"})").contains("return"));
}

TEST_F(QmpServerTest, DeepNestingIsOneError) {
  RawClient client(vm_.path());
  client.Negotiate();
  client.Send(std::string(1'000'000, '[') + "\n");
  EXPECT_THAT(ErrorOf(client.Message()), HasSubstr("nested deeper"));
  EXPECT_TRUE(client.Run(R"({"execute":"stop"})").contains("return"));
}

TEST_F(QmpServerTest, TooManyClientsAreRefusedWithAReason) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < QmpServer::kMaxClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(vm_.path()));
    clients.back()->Negotiate();
  }
  {
    RawClient refused(vm_.path());
    EXPECT_THAT(ErrorOf(refused.Message()), HasSubstr("Too many clients"));
    EXPECT_TRUE(refused.AtEnd());
  }
  clients.pop_back();
  ASSERT_TRUE(ComesTo(QmpServer::kMaxClients - 1));
  RawClient next(vm_.path());
  next.Negotiate();
}

TEST_F(QmpServerTest, CommandsOfClientThatDoesNotReadWait) {
  RawClient client(vm_.path());
  client.Negotiate();
  // Far more replies than the sockets and the queue hold together.
  std::string batch;
  for (int i = 0; i < 2000; ++i) batch += R"({"execute":"query-commands"})";
  std::thread sender([&] { client.Send(batch); });
  RawClient other(vm_.path());
  other.Negotiate();
  EXPECT_TRUE(other.Run(R"({"execute":"query-name"})").contains("return"));
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(client.Message().contains("return")) << i;
  }
  sender.join();
}

TEST_F(QmpServerTest, ClientThatDoesNotReadItsEventsIsCutOff) {
  RawClient deaf(vm_.path());
  RawClient other(vm_.path());
  deaf.Negotiate();
  other.Negotiate();
  const Json filler = {{"text", std::string(64 << 10, 'e')}};
  for (int i = 0; i < 200; ++i) {
    vm_.OnLoop([&] { vm_.server->EmitEvent("FILLER", filler); });
    ASSERT_THAT(other.Line(), HasSubstr("FILLER"));
  }
  EXPECT_TRUE(ComesTo(1));
}

TEST_F(QmpServerTest, DestructionEndsEveryClientAndRemovesThePath) {
  RawClient client(vm_.path());
  client.Negotiate();
  vm_.StopServer();
  EXPECT_TRUE(client.AtEnd());
  EXPECT_NE(::access(vm_.path().c_str(), F_OK), 0);
}

}  // namespace
}  // namespace kvmlet
