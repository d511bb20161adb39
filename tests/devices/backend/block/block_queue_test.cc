// SPDX-License-Identifier: Apache-2.0
// Both engines on real files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "devices/backend/block_sync.h"
#include "devices/backend/block_uring.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

enum class Engine { kSynchronous, kUring };

class BlockQueueTest : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    file_ = UniqueFd(::memfd_create("disk", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file_.get(), 1 << 20), 0);
    MakeQueue(file_.get(), BlockFileTraits{});
  }
  void TearDown() override { queue_.reset(); }

  void MakeQueue(int fd, const BlockFileTraits& traits) {
    const BlockSteps steps(traits);
    if (GetParam() == Engine::kSynchronous) {
      queue_ = std::make_unique<SyncBlockQueue>(fd, steps);
      return;
    }
    auto queue = UringBlockQueue::Create(fd, steps, 64);
    if (!queue.ok()) GTEST_SKIP() << queue.status().message();
    queue_ = *std::move(queue);
  }
  BlockRequest& Make(BlockOp op, uint64_t offset, std::vector<iovec> iovecs) {
    BlockRequest& request = requests_.emplace_back();
    request.op = op;
    request.offset = offset;
    for (const iovec& range : iovecs) request.length += range.iov_len;
    request.iovecs = std::move(iovecs);
    return request;
  }
  // Commits and collects until `count` requests are finished.
  size_t Finish(size_t count) {
    size_t finished = 0;
    while (finished < count) {
      EXPECT_TRUE(queue_->Commit().ok());
      if (queue_->NextDone() != nullptr) {
        ++finished;
        continue;
      }
      EXPECT_TRUE(queue_->Commit().ok());
      pollfd p{.fd = queue_->done_fd(), .events = POLLIN, .revents = 0};
      if (p.fd < 0 || ::poll(&p, 1, 5000) != 1) break;
    }
    return finished;
  }

  UniqueFd file_;
  std::deque<BlockRequest> requests_;
  std::unique_ptr<BlockQueue> queue_;
};

INSTANTIATE_TEST_SUITE_P(Engines, BlockQueueTest,
                         testing::Values(Engine::kSynchronous, Engine::kUring),
                         [](const auto& info) {
                           return info.param == Engine::kUring ? "Uring"
                                                               : "Synchronous";
                         });

TEST_P(BlockQueueTest, ManyRequestsOfOneCommit) {
  std::array<std::array<char, 512>, 64> data{};
  for (size_t i = 0; i < data.size(); ++i) {
    data[i].fill(static_cast<char>('0' + i));
    queue_->Start(Make(BlockOp::kWrite, i * 512, {{data[i].data(), 512}}));
  }
  EXPECT_EQ(Finish(data.size()), data.size());
  for (const BlockRequest& request : requests_) EXPECT_EQ(request.error, 0);
  char byte = 0;
  EXPECT_EQ(::pread(file_.get(), &byte, 1, 63 * 512), 1);
  EXPECT_EQ(byte, static_cast<char>('0' + 63));
}

TEST_P(BlockQueueTest, QueueIsUsedAgainAndAgain) {
  std::array<char, 512> data{};
  BlockRequest& request = Make(BlockOp::kRead, 0, {});
  for (int i = 0; i < 500; ++i) {
    request.iovecs = {{data.data(), data.size()}};
    request.length = data.size();
    queue_->Start(request);
    ASSERT_EQ(Finish(1), 1u);
    ASSERT_EQ(request.error, 0);
  }
}

TEST_P(BlockQueueTest, DurableWriteAndFlush) {
  std::array<char, 512> data{};
  BlockRequest& write = Make(BlockOp::kWrite, 0, {{data.data(), 512}});
  write.durable = true;
  queue_->Start(write);
  queue_->Start(Make(BlockOp::kFlush, 0, {}));
  EXPECT_EQ(Finish(2), 2u);
  EXPECT_EQ(write.error, 0);
}

TEST_P(BlockQueueTest, ReadAtTheEndOfTheFileFails) {
  std::array<char, 1024> data{};
  BlockRequest& read =
      Make(BlockOp::kRead, (1 << 20) - 512, {{data.data(), 1024}});
  queue_->Start(read);
  EXPECT_EQ(Finish(1), 1u);
  EXPECT_EQ(read.error, EIO);
}

TEST_P(BlockQueueTest, BadAddressFailsTheRequestAlone) {
  std::array<char, 512> data{};
  BlockRequest& bad = Make(BlockOp::kRead, 0, {{nullptr, 512}});
  BlockRequest& good = Make(BlockOp::kRead, 0, {{data.data(), 512}});
  queue_->Start(bad);
  queue_->Start(good);
  EXPECT_EQ(Finish(2), 2u);
  EXPECT_EQ(bad.error, EFAULT);
  EXPECT_EQ(good.error, 0);
}

TEST_P(BlockQueueTest, WriteZeroesWithoutHelpOfTheFileSystem) {
  // A memfd can punch holes and cannot zero a range otherwise.
  const std::string data(200 << 10, 'x');
  ASSERT_EQ(::pwrite(file_.get(), data.data(), data.size(), 0),
            static_cast<ssize_t>(data.size()));
  for (uint64_t i = 0; i < 32; ++i) {
    BlockRequest& zero = Make(BlockOp::kWriteZeroes, i * 4096, {});
    zero.length = 4096;
    queue_->Start(zero);
  }
  EXPECT_EQ(Finish(32), 32u);
  std::string after(200 << 10, '?');
  ASSERT_EQ(::pread(file_.get(), after.data(), after.size(), 0),
            static_cast<ssize_t>(after.size()));
  EXPECT_EQ(after, std::string(128 << 10, '\0') + std::string(72 << 10, 'x'));
}

TEST_P(BlockQueueTest, DirectWithUnalignedBuffers) {
  std::string path = testing::TempDir() + "/kvmlet-direct-XXXXXX";
  const UniqueFd made(::mkstemp(path.data()));
  ASSERT_EQ(::ftruncate(made.get(), 1 << 20), 0);
  const UniqueFd direct(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  std::filesystem::remove(path);
  if (!direct.ok()) GTEST_SKIP() << "this file system has no O_DIRECT";
  queue_.reset();
  MakeQueue(direct.get(), BlockFileTraits{.memory_alignment = 4096,
                                          .offset_alignment = 4096});
  // More than there are buffers for at a time.
  std::vector<char> memory(40 * 8192 + 1);
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<char>(i / 100);
  }
  const auto transfer = [&](BlockOp op, char* base) {
    for (size_t i = 0; i < 40; ++i) {
      char* at = base + i * 8192;
      queue_->Start(Make(op, i * 8192, {{at, 100}, {at + 100, 8092}}));
    }
    EXPECT_EQ(Finish(40), 40u);
  };
  transfer(BlockOp::kWrite, memory.data() + 1);
  std::vector<char> back(memory.size());
  transfer(BlockOp::kRead, back.data() + 1);
  back[0] = memory[0];
  for (const BlockRequest& request : requests_) EXPECT_EQ(request.error, 0);
  EXPECT_EQ(memory, back);
}

// A pipe is a disk that answers when the test says so.
class UringDrainTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2] = {-1, -1};
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end_ = UniqueFd(ends[0]);
    write_end_ = UniqueFd(ends[1]);
    auto queue = UringBlockQueue::Create(read_end_.get(),
                                         BlockSteps(BlockFileTraits{}), 8);
    if (!queue.ok()) GTEST_SKIP() << queue.status().message();
    queue_ = *std::move(queue);
    request_.op = BlockOp::kRead;
    request_.length = data_.size();
    request_.iovecs = {{data_.data(), data_.size()}};
  }

  UniqueFd read_end_;
  UniqueFd write_end_;
  std::array<char, 512> data_{};
  BlockRequest request_;
  std::unique_ptr<BlockQueue> queue_;
};

TEST_F(UringDrainTest, DestructorWaitsForTheKernel) {
  queue_->Start(request_);
  ASSERT_TRUE(queue_->Commit().ok());
  std::thread writer([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::string text(512, 'w');
    EXPECT_EQ(::write(write_end_.get(), text.data(), text.size()), 512);
  });
  queue_.reset();
  // The kernel wrote before the destructor returned, and cannot write later.
  EXPECT_EQ(data_[511], 'w');
  writer.join();
}

TEST_F(UringDrainTest, DestructorOnAnotherThreadThanTheSubmitters) {
  std::thread submitter([this] {
    queue_->Start(request_);
    EXPECT_TRUE(queue_->Commit().ok());
  });
  submitter.join();
  const std::string text(512, 'w');
  EXPECT_EQ(::write(write_end_.get(), text.data(), text.size()), 512);
  queue_.reset();
}

TEST_F(UringDrainTest, UncommittedRequestsAreDropped) {
  queue_->Start(request_);
  queue_.reset();
  EXPECT_EQ(data_[0], 0);
}

TEST_F(UringDrainTest, ACompletionCanBeWaitedForUntilItIsTaken) {
  queue_->Start(request_);
  ASSERT_TRUE(queue_->Commit().ok());
  EXPECT_EQ(queue_->NextDone(), nullptr);
  const std::string text(512, 'w');
  ASSERT_EQ(::write(write_end_.get(), text.data(), text.size()), 512);
  pollfd p{.fd = queue_->done_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&p, 1, 5000), 1);
  EXPECT_TRUE(queue_->MayHaveDone());
  EXPECT_EQ(queue_->NextDone(), &request_);
  EXPECT_FALSE(queue_->MayHaveDone());
  EXPECT_EQ(::poll(&p, 1, 0), 0);
}

}  // namespace
}  // namespace kvmlet
