// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/vmm/control/test_vm.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CtlTest : public ::testing::Test {
 protected:
  // Runs `kvmlet ctl SOCKET args...`.
  int Ctl(std::vector<std::string> args) {
    args.insert(args.begin(), vm_.path());
    return Plain(args);
  }
  int Plain(const std::vector<std::string>& args) {
    out_.str("");
    err_.str("");
    return CtlMain(args, out_, err_);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }
  // An event that comes some time after ctl started.
  std::thread EventLater(std::function<void()> emit) {
    return std::thread([this, emit = std::move(emit)] {
      while (true) {
        size_t clients = 0;
        vm_.OnLoop([&] { clients = vm_.server->clients(); });
        if (clients > 0) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      vm_.OnLoop(emit);
    });
  }

  TestVm vm_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CtlTest, StatusStopAndCont) {
  EXPECT_EQ(Ctl({"status"}), 0);
  EXPECT_EQ(out(), "running\n");
  EXPECT_EQ(Ctl({"stop"}), 0);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(Ctl({"status"}), 0);
  EXPECT_EQ(out(), "paused\n");
  EXPECT_EQ(Ctl({"cont"}), 0);
  EXPECT_EQ(Ctl({"--json", "status"}), 0);
  EXPECT_EQ(out(), "{\"running\":true,\"status\":\"running\"}\n");
}

TEST_F(CtlTest, PowerCommandsReachTheMachine) {
  EXPECT_EQ(Ctl({"powerdown"}), 0);
  EXPECT_EQ(Ctl({"reset"}), 0);
  EXPECT_EQ(Ctl({"resize-disk", "disk0"}), 0);
  EXPECT_EQ(Ctl({"quit"}), 0);
  vm_.OnLoop([&] {
    EXPECT_EQ(vm_.machine.power_buttons, 1);
    EXPECT_EQ(vm_.machine.resets, 1);
    EXPECT_EQ(vm_.machine.quits, 1);
    EXPECT_EQ(vm_.machine.resized.size(), 1u);
  });
}

TEST_F(CtlTest, InfoPrintsTables) {
  EXPECT_EQ(Ctl({"info", "cpus"}), 0);
  EXPECT_THAT(out(), StartsWith("CPU  TID"));
  EXPECT_EQ(Ctl({"info", "devices"}), 0);
  EXPECT_THAT(out(), HasSubstr("disk0  virtio-blk-pci  00:03.0"));
  EXPECT_EQ(Ctl({"info", "registers"}), 0);
  EXPECT_EQ(out(), "vcpu 0\n  rip 1000\n");
  EXPECT_EQ(Ctl({"info", "commands"}), 0);
  EXPECT_THAT(out(), HasSubstr("query-status\n"));
  EXPECT_EQ(Ctl({"info", "name"}), 0);
  EXPECT_EQ(out(), "{\n  \"name\": \"fake\"\n}\n");
}

TEST_F(CtlTest, QmpCommandByNameAndAsJson) {
  EXPECT_EQ(Ctl({"query-target"}), 0);
  EXPECT_THAT(out(), HasSubstr("x86_64"));
  EXPECT_EQ(Ctl({"__org.kvmlet_resize-disk", "id=disk0"}), 0);
  EXPECT_EQ(Ctl({"qmp", R"({"execute":"query-name","id":{"a":1}})"}), 0);
  EXPECT_THAT(out(), HasSubstr("fake"));
}

TEST_F(CtlTest, RefusedCommandIsOne) {
  EXPECT_EQ(Ctl({"resize-disk", "disk9"}), 1);
  EXPECT_EQ(err(),
            "kvmlet ctl: __org.kvmlet_resize-disk: Device 'disk9' not found\n");
}

TEST_F(CtlTest, UnknownCommandIsAUsageErrorThatHelps) {
  EXPECT_EQ(Ctl({"pause"}), 64);
  EXPECT_THAT(err(), ::testing::AllOf(HasSubstr("no command 'pause'"),
                                      HasSubstr("info commands")));
  EXPECT_EQ(Ctl({"stop", "now"}), 64);
  EXPECT_EQ(Plain({}), 64);
}

TEST_F(CtlTest, HelpNeedsNoSocket) {
  EXPECT_EQ(Plain({"--help"}), 0);
  EXPECT_THAT(out(), StartsWith("usage: kvmlet ctl"));
}

TEST_F(CtlTest, NoServerAsksWhetherTheVmRuns) {
  vm_.StopServer();
  EXPECT_EQ(Ctl({"status"}), 69);
  EXPECT_THAT(err(), HasSubstr("is the VM running?"));
}

TEST_F(CtlTest, LongSocketPathIsAUsageError) {
  EXPECT_EQ(Plain({std::string(200, 'p'), "status"}), 64);
  EXPECT_THAT(err(), HasSubstr("1 to 107 bytes"));
}

TEST_F(CtlTest, ListenerWithoutGreetingIsNotWaitedForForever) {
  TempFolder folder;
  const std::string path = folder.File("mute");
  const auto mute = UnixListener::Create("test", path);
  ASSERT_TRUE(mute.ok());
  EXPECT_EQ(Plain({path, "status", "--timeout", "50ms"}), 124);
  EXPECT_THAT(err(), HasSubstr("did not answer in time"));
}

TEST_F(CtlTest, FullServerSaysSo) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (size_t i = 0; i < QmpServer::kMaxClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(vm_.path()));
    clients.back()->Negotiate();
  }
  EXPECT_EQ(Ctl({"status"}), 69);
  EXPECT_THAT(err(), HasSubstr("Too many clients"));
}

TEST_F(CtlTest, WaitsForEventOfItsOwnCommand) {
  EXPECT_EQ(Ctl({"stop", "--wait-event", "STOP"}), 0);
  EXPECT_THAT(out(), HasSubstr("Z STOP\n"));
}

TEST_F(CtlTest, WaitsForALaterEvent) {
  std::thread later = EventLater([this] {
    vm_.events.Resume();
    vm_.events.Shutdown(ShutdownCause::kGuestShutdown);
  });
  EXPECT_EQ(Ctl({"--wait-event", "SHUTDOWN"}), 0);
  later.join();
  EXPECT_THAT(out(), HasSubstr("SHUTDOWN guest=true reason=guest-shutdown"));
  EXPECT_THAT(out(), ::testing::Not(HasSubstr("RESUME")));
}

TEST_F(CtlTest, WaitingEndsWithTheTimeout) {
  EXPECT_EQ(Ctl({"--wait-event=SHUTDOWN", "--timeout=1s"}), 124);
  EXPECT_THAT(err(), HasSubstr("no event SHUTDOWN in time"));
}

TEST_F(CtlTest, WaitingEndsWithTheVm) {
  std::thread later = EventLater([this] {
    vm_.events.RemoveSink(*vm_.server);
    vm_.server.reset();
  });
  EXPECT_EQ(Ctl({"--wait-event", "SHUTDOWN"}), 1);
  later.join();
  EXPECT_THAT(err(), HasSubstr("ended before event SHUTDOWN"));
}

TEST_F(CtlTest, EventsPrintsUntilTheEnd) {
  std::thread later = EventLater([this] {
    vm_.events.Stop();
    vm_.events.Shutdown(ShutdownCause::kHostQuit);
    vm_.events.RemoveSink(*vm_.server);
    vm_.server.reset();
  });
  EXPECT_EQ(Ctl({"events", "--json"}), 0);
  later.join();
  std::istringstream lines(out());
  std::string first;
  std::string second;
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_THAT(first, HasSubstr(R"("event":"STOP")"));
  EXPECT_THAT(second, HasSubstr(R"("event":"SHUTDOWN")"));
}

// Answers the negotiation and closes the connection at the next command.
void ServeUntilCommand(int listener) {
  pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  const UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  for (const std::string_view line :
       {"{\"QMP\":{}}\r\n", "{\"return\":{},\"id\":1}\r\n"}) {
    ASSERT_EQ(::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
    std::array<char, 4096> request;
    ASSERT_GT(::recv(client.get(), request.data(), request.size(), 0), 0);
  }
}

class VanishingVmTest : public CtlTest {
 protected:
  int Ctl(const std::string& command) {
    const std::string path = folder_.File("s");
    const auto listener = UnixListener::Create("test", path);
    EXPECT_TRUE(listener.ok());
    std::thread server([&] { ServeUntilCommand(listener->get()); });
    const int status = Plain({path, command});
    server.join();
    return status;
  }

  TempFolder folder_;
};

TEST_F(VanishingVmTest, QuitIsDoneWhenTheVmIsGone) {
  EXPECT_EQ(Ctl("quit"), 0);
  EXPECT_EQ(err(), "");
}

TEST_F(VanishingVmTest, AnyOtherCommandHasFailed) {
  EXPECT_EQ(Ctl("stop"), 1);
  EXPECT_THAT(err(), HasSubstr("closed the connection"));
}

TEST_F(CtlTest, LargeResultsArrive) {
  vm_.OnLoop([&] { vm_.machine.registers = std::string(3 << 20, 'r'); });
  EXPECT_EQ(Ctl({"info", "registers"}), 0);
  EXPECT_EQ(out().size(), (3u << 20) + 1);
}

// The fake's device never gets what is requested.
TEST_F(CtlTest, AResizeThatStallsSaysWhy) {
  vm_.OnLoop([this] {
    vm_.machine.qom.Add("vm0", "virtio-mem-pci", "requested-size",
                        {.type = "size",
                         .wants = QmpType::kUnsigned,
                         .get = [] { return Json(0); },
                         .set = [](const Json&) { return absl::OkStatus(); }});
  });
  EXPECT_EQ(Ctl({"resize", "vm0", "1G", "--wait", "--timeout", "150ms"}), 124);
  EXPECT_EQ(out(),
            "vm0: 512 of 1024 MiB plugged\n"
            "vm0: stalled: the guest sleeps\n");
  EXPECT_THAT(err(), HasSubstr("vm0 stays at 512 MiB: stalled: the guest "
                               "sleeps"));
  vm_.OnLoop([this] { vm_.machine.fake_memory.info.plugged = 1ull << 30; });
  EXPECT_EQ(Ctl({"resize", "vm0", "1G", "--wait"}), 0);
  EXPECT_EQ(out(), "vm0: 1024 of 1024 MiB plugged\n");
  EXPECT_EQ(Ctl({"resize", "vm0", "1G"}), 0);
  EXPECT_EQ(out(), "");
}

TEST_F(CtlTest, WaitGoesWithResizeOnly) {
  EXPECT_EQ(Ctl({"status", "--wait"}), 64);
  EXPECT_EQ(Ctl({"resize", "vm0"}), 64);
  EXPECT_EQ(Ctl({"resize", "vm0", "much"}), 64);
  EXPECT_EQ(Ctl({"resize", "vm9", "1G"}), 1);
}

TEST_F(CtlTest, MemoryDevicesAreATable) {
  EXPECT_EQ(Ctl({"info", "memory-devices"}), 0);
  EXPECT_THAT(out(), HasSubstr("vm0    1     512M     1024M      8192M  2M     "
                               "anonymous  stalled\n"));
  EXPECT_THAT(out(), HasSubstr("pmem0  -     64M      -          64M    -      "
                               "disk.pmem  pmem\n"));
  EXPECT_THAT(out(), HasSubstr("vm0: the guest sleeps\n"));
}

}  // namespace
}  // namespace kvmlet
