// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/event_stream.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/vmm/control/test_vm.h"
#include "vmm/event/event_loop.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe MakePipe() {
  int ends[2];
  PCHECK(::pipe2(ends, O_CLOEXEC) == 0);
  return Pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

// Everything until the end of the stream, or until nothing more is there.
std::string ReadAll(int fd) {
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string text;
  std::array<char, 4096> chunk;
  ssize_t n = 0;
  while ((n = ::read(fd, chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<size_t>(n));
  }
  return text;
}

std::string Content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The names of the events in JSON lines; every line must be whole.
std::vector<std::string> Names(const std::string& text) {
  std::vector<std::string> names;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const auto json = ParseJson({line.data(), line.size()});
    EXPECT_TRUE(json) << line;
    names.push_back(json ? StringMember(*json, "event") : "?");
  }
  return names;
}

class EventStreamTest : public ::testing::Test {
 protected:
  EventStreamTest() : loop_(*EventLoop::Create()) {}

  std::unique_ptr<EventStream> Open(const std::string& target) {
    auto stream = EventStream::Create(*loop_, target);
    EXPECT_TRUE(stream.ok()) << stream.status().message();
    if (!stream.ok()) return nullptr;
    events_.AddSink(**stream);
    return *std::move(stream);
  }
  std::string Error(const std::string& target) {
    return std::string(EventStream::Create(*loop_, target).status().message());
  }
  // Lets the loop do what it can at once.
  void Turn() {
    loop_->RunAfter(std::chrono::milliseconds(1), [this] { loop_->Stop(); });
    loop_->Run();
  }

  TempFolder folder_;
  std::unique_ptr<EventLoop> loop_;
  Events events_;
};

TEST_F(EventStreamTest, WritesOneLineAnEvent) {
  const std::string path = folder_.File("events");
  const auto stream = Open(path);
  ASSERT_NE(stream, nullptr);
  events_.Stop();
  events_.Shutdown(ShutdownCause::kHostSignal);
  const std::string text = Content(path);
  EXPECT_THAT(Names(text), ::testing::ElementsAre("STOP", "SHUTDOWN"));
  EXPECT_THAT(text,
              HasSubstr(R"("data":{"guest":false,"reason":"host-signal"})"));
}

TEST_F(EventStreamTest, AppendsToAFile) {
  const std::string path = folder_.File("events");
  std::ofstream(path) << "before\n";
  const auto stream = Open(path);
  ASSERT_NE(stream, nullptr);
  events_.Stop();
  EXPECT_THAT(Content(path), ::testing::StartsWith("before\n{"));
}

TEST_F(EventStreamTest, EmptyDataIsLeftOut) {
  const std::string path = folder_.File("events");
  const auto stream = Open(path);
  ASSERT_NE(stream, nullptr);
  events_.Powerdown();
  EXPECT_THAT(Content(path), ::testing::Not(HasSubstr("data")));
}

TEST_F(EventStreamTest, FifoWithoutReaderDoesNotBlock) {
  const std::string path = folder_.File("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto stream = Open(path);
  ASSERT_NE(stream, nullptr);
  events_.Stop();
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_THAT(Names(ReadAll(reader.get())), ::testing::ElementsAre("STOP"));
}

TEST_F(EventStreamTest, FullPipeLosesEventsAndSaysHowMany) {
  Pipe pipe = MakePipe();
  const auto stream = Open(absl::StrCat("fd:", pipe.write_end.Release()));
  ASSERT_NE(stream, nullptr);
  for (int i = 0; i < 3000; ++i) events_.Stop();
  const uint64_t lost = stream->dropped();
  EXPECT_GT(lost, 0u);
  std::string text = ReadAll(pipe.read_end.get());
  Turn();  // the queue goes out
  text += ReadAll(pipe.read_end.get());
  events_.Resume();
  text += ReadAll(pipe.read_end.get());
  Turn();  // and what did not fit beside it
  text += ReadAll(pipe.read_end.get());
  const std::vector<std::string> names = Names(text);
  ASSERT_EQ(names.size(), 3000 - lost + 2);
  EXPECT_EQ(names[names.size() - 2], "__org.kvmlet_EVENTS_LOST");
  EXPECT_EQ(names.back(), "RESUME");
  EXPECT_THAT(text, HasSubstr(absl::StrCat("{\"count\":", lost, "}")));
  EXPECT_EQ(stream->dropped(), lost);
}

TEST_F(EventStreamTest, PipeReaderThatLeftDoesNotKill) {
  Pipe pipe = MakePipe();
  const auto stream = Open(absl::StrCat("fd:", pipe.write_end.Release()));
  ASSERT_NE(stream, nullptr);
  pipe.read_end.Reset();
  for (int i = 0; i < 3000; ++i) events_.Stop();
  EXPECT_GT(stream->dropped(), 0u);
}

TEST_F(EventStreamTest, LeavesOthersPipeEndBlocking) {
  Pipe pipe = MakePipe();
  const UniqueFd other(::dup(pipe.write_end.get()));
  const auto stream = Open(absl::StrCat("fd:", pipe.write_end.Release()));
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(::fcntl(other.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(EventStreamTest, SocketThatIsClosedEndsTheStream) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd reader(ends[0]);
  const auto stream = Open(absl::StrCat("fd:", ends[1]));
  ASSERT_NE(stream, nullptr);
  events_.Stop();
  EXPECT_THAT(Names(ReadAll(reader.get())), ::testing::ElementsAre("STOP"));
  ::shutdown(reader.get(), SHUT_RDWR);
  events_.Stop();
  events_.Stop();
  EXPECT_GT(stream->dropped(), 0u);
}

TEST_F(EventStreamTest, EndOfStreamIsSeenByReader) {
  Pipe pipe = MakePipe();
  auto stream = Open(absl::StrCat("fd:", pipe.write_end.Release()));
  ASSERT_NE(stream, nullptr);
  events_.RemoveSink(*stream);
  stream.reset();
  char byte = 0;
  EXPECT_EQ(::read(pipe.read_end.get(), &byte, 1), 0);
}

TEST_F(EventStreamTest, DestructionDoesNotWaitForeverForAReader) {
  Pipe pipe = MakePipe();
  auto stream = Open(absl::StrCat("fd:", pipe.write_end.Release()));
  ASSERT_NE(stream, nullptr);
  for (int i = 0; i < 3000; ++i) events_.Stop();
  events_.RemoveSink(*stream);
  const auto before = std::chrono::steady_clock::now();
  stream.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
}

TEST_F(EventStreamTest, BadTargetsNameTheFlag) {
  EXPECT_THAT(Error(folder_.File("none/x")),
              ::testing::AllOf(HasSubstr("--events"), HasSubstr("ENOENT")));
  EXPECT_THAT(Error("fd:x"), HasSubstr("--events fd:"));
  EXPECT_THAT(Error("fd:987654"), HasSubstr("EBADF"));
  const Pipe pipe = MakePipe();
  EXPECT_THAT(Error(absl::StrCat("fd:", pipe.read_end.get())),
              HasSubstr("not open for writing"));
}

TEST(EventsTest, RemovedSinkHearsNothing) {
  struct Counter : EventSink {
    void OnEvent(const Event&) override { ++count; }
    int count = 0;
  };
  Events events;
  Counter first;
  Counter second;
  events.AddSink(first);
  events.AddSink(second);
  events.Stop();
  events.RemoveSink(first);
  events.Stop();
  EXPECT_EQ(first.count, 1);
  EXPECT_EQ(second.count, 2);
}

TEST(EventsTest, CausesHaveQemusNames) {
  EXPECT_EQ(ShutdownCauseName(ShutdownCause::kHostError), "host-error");
  EXPECT_EQ(ShutdownCauseName(ShutdownCause::kHostQuit), "host-qmp-quit");
  EXPECT_EQ(ShutdownCauseName(ShutdownCause::kHostReset),
            "host-qmp-system-reset");
  EXPECT_EQ(ShutdownCauseName(ShutdownCause::kGuestPanic), "guest-panic");
  EXPECT_FALSE(CausedByGuest(ShutdownCause::kHostQuit));
  EXPECT_TRUE(CausedByGuest(ShutdownCause::kGuestShutdown));
}

}  // namespace
}  // namespace kvmlet
