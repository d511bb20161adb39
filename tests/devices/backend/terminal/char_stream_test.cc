// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/char_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/devices/backend/terminal/stream_fixture.h"

namespace kvmlet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CharStreamTest : public StreamTest {
 protected:
  CharStreamTest() {
    int out[2];
    int in[2];
    EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(in, O_CLOEXEC), 0);
    reader_.Reset(out[0]);
    typist_.Reset(in[1]);
    // Owned by the stream.
    EXPECT_TRUE(stream_.SetDescriptors(in[0], out[1], true).ok());
    thread_->Start();
  }
  // The stream dies after its thread.
  void TearDown() override { thread_->Stop(); }
  void Type(std::string_view text) {
    EXPECT_EQ(::write(typist_.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  // More than a pipe holds, from a thread of its own.
  void StartStuckWriter() {
    writer_ = std::thread([this] {
      const std::string line(1023, 'x');
      for (int i = 0; i < 200; ++i) stream_.Write(Bytes(line + "\n"));
      written_ = true;
    });
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(written_);
  }
  ~CharStreamTest() override {
    if (writer_.joinable()) writer_.join();
  }

  UniqueFd reader_;
  UniqueFd typist_;
  CharStream stream_{thread_->loop()};
  std::thread writer_;
  std::atomic<bool> written_{false};
};

TEST_F(CharStreamTest, ALineIsWrittenAtOnce) {
  stream_.Write(Bytes("hello\n"));
  EXPECT_EQ(ReadSome(reader_.get(), 6), "hello\n");
}

TEST_F(CharStreamTest, AnUnfinishedLineComesSoon) {
  stream_.Write(Bytes("login: "));
  EXPECT_EQ(ReadSome(reader_.get(), 7), "login: ");
}

TEST_F(CharStreamTest, FlushWritesWhatIsHeldBack) {
  stream_.Write(Bytes("part"));
  stream_.Flush();
  EXPECT_EQ(ReadSome(reader_.get(), 4), "part");
}

TEST_F(CharStreamTest, AWriteWaitsForASlowReaderAndLosesNothing) {
  StartStuckWriter();
  EXPECT_EQ(ReadSome(reader_.get(), 200 * 1024).size(), 200u * 1024);
  writer_.join();
}

TEST_F(CharStreamTest, AFlushDoesNotWaitForAStuckWriter) {
  StartStuckWriter();
  const auto start = Clock::now();
  stream_.Flush();
  bool ran = false;
  loop().RunSync([&ran] { ran = true; });  // the loop is not stuck either
  EXPECT_TRUE(ran);
  EXPECT_LT(Clock::now() - start, seconds(5));
  ReadSome(reader_.get(), 200 * 1024);
}

TEST_F(CharStreamTest, AHurriedWriterGoesOnAndLosesNothing) {
  StartStuckWriter();
  stream_.Hurry(true);
  writer_.join();
  stream_.Hurry(false);
  EXPECT_EQ(ReadSome(reader_.get(), 200 * 1024).size(), 200u * 1024);
}

TEST_F(CharStreamTest, WhatAHurriedWriterKeepsIsBounded) {
  stream_.Hurry(true);
  const std::string line(1023, 'x');
  for (int i = 0; i < 4096; ++i) stream_.Write(Bytes(line + "\n"));
  stream_.Hurry(false);
  const std::string all = ReadSome(reader_.get(), 4096 * 1024, 500);
  EXPECT_GT(all.size(), 1u << 20);
  EXPECT_LT(all.size(), 2u << 20);
}

TEST_F(CharStreamTest, CloseFreesAStuckWriterAndReturns) {
  StartStuckWriter();
  const auto start = Clock::now();
  stream_.Close();
  writer_.join();
  EXPECT_TRUE(written_);
  EXPECT_LT(Clock::now() - start, seconds(10));
}

TEST_F(CharStreamTest, CloseWritesTheLastWords) {
  stream_.Write(Bytes("last words"));
  stream_.Close();
  stream_.Write(Bytes("too late\n"));
  EXPECT_EQ(ReadSome(reader_.get(), 100, 50), "last words");
}

TEST_F(CharStreamTest, CloseWaitsForAReaderThatIsOnlySlow) {
  StartStuckWriter();
  std::string all;
  std::thread slow([&] {
    while (true) {
      const std::string part = ReadSome(reader_.get(), 16 << 10, 2'000);
      if (part.empty()) return;
      all += part;
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  stream_.Hurry(true);
  writer_.join();
  stream_.Close();
  slow.join();
  EXPECT_EQ(all.size(), 200u * 1024);
}

TEST_F(CharStreamTest, AReaderThatIsGoneDoesNotHurt) {
  ::signal(SIGPIPE, SIG_IGN);
  reader_.Reset();
  for (int i = 0; i < 100; ++i) stream_.Write(Bytes("nobody reads\n"));
}

TEST_F(CharStreamTest, InputReachesTheDevice) {
  Connect(stream_);
  Type("typed");
  EXPECT_TRUE(WaitForInput("typed"));
}

TEST_F(CharStreamTest, InputFromBeforeTheDeviceIsKept) {
  Type("early");
  Connect(stream_);
  EXPECT_TRUE(WaitForInput("early"));
}

TEST_F(CharStreamTest, AFullDeviceGetsTheRestWhenItHasRoom) {
  Connect(stream_, 4);
  Type("0123456789");
  ASSERT_TRUE(WaitForInput("0123"));
  MakeRoom(stream_, 3);
  ASSERT_TRUE(WaitForInput("0123456"));
  MakeRoom(stream_, 100);
  EXPECT_TRUE(WaitForInput("0123456789"));
}

TEST_F(CharStreamTest, LongInputComesWholeThroughASmallFifo) {
  Connect(stream_, 16);
  std::string text;
  for (int i = 0; i < 2000; ++i) text += std::to_string(i);
  std::thread typist([&] { Type(text); });
  EXPECT_TRUE(WaitFor([&] {
    MakeRoom(stream_, 16);
    return input().size() >= text.size();
  }));
  typist.join();
  EXPECT_EQ(input(), text);
}

TEST_F(CharStreamTest, TheEndOfInputIsToldAndOutputGoesOn) {
  std::atomic<int> ends{0};
  loop().RunSync([&] { stream_.SetOnEnd([&ends] { ++ends; }); });
  Connect(stream_);
  Type("last");
  typist_.Reset();
  EXPECT_TRUE(WaitFor([&ends] { return ends > 0; }));
  EXPECT_TRUE(WaitForInput("last"));
  stream_.Write(Bytes("still\n"));
  EXPECT_EQ(ReadSome(reader_.get(), 6), "still\n");
}

TEST_F(CharStreamTest, AFilterSeesInputFirst) {
  loop().RunSync([&] {
    stream_.SetFilter([](std::span<const std::byte> data) {
      std::vector<std::byte> kept;
      for (const std::byte b : data) {
        if (b != std::byte{'x'}) kept.push_back(b);
      }
      return kept;
    });
  });
  Connect(stream_);
  Type("axbxc");
  EXPECT_TRUE(WaitForInput("abc"));
}

TEST_F(CharStreamTest, NewDescriptorsTakeOverFromAStuckReader) {
  StartStuckWriter();
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  const UniqueFd client(sockets[1]);
  const auto start = Clock::now();
  loop().RunSync([&] {
    EXPECT_TRUE(stream_.SetDescriptors(sockets[0], sockets[0], true).ok());
  });
  EXPECT_LT(Clock::now() - start, seconds(5));
  EXPECT_FALSE(ReadSome(client.get(), 1024).empty());
  ReadSome(client.get(), 400 * 1024, 200);
}

TEST_F(CharStreamTest, WithoutDescriptorsOutputIsDropped) {
  loop().RunSync(
      [&] { EXPECT_TRUE(stream_.SetDescriptors(-1, -1, false).ok()); });
  for (int i = 0; i < 10'000; ++i) stream_.Write(Bytes("dropped\n"));
}

}  // namespace
}  // namespace kvmlet
