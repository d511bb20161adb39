// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#include "tests/fakes/real_madvise.h"
#include "vmm/base/event_fd.h"
#include "vmm/base/unique_fd.h"
#include "vmm/memory/bus_errors.h"

namespace kvmlet::virtio {
namespace {

class ChainTest : public ::testing::Test {
 protected:
  static iovec Range(char* at, size_t length) { return {at, length}; }

  std::array<char, 16> bytes_{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h',
                              'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p'};
  DescriptorChain chain_{7};
};

TEST_F(ChainTest, ReadsAValueAcrossBuffers) {
  chain_.AddReadable(Range(bytes_.data(), 3));
  chain_.AddReadable(Range(bytes_.data() + 8, 5));

  const auto value = chain_.reader().Read<std::array<char, 6>>();

  ASSERT_TRUE(value);
  EXPECT_EQ(std::string(value->data(), 6), "abcijk");
  EXPECT_EQ(chain_.reader().remaining(), 2u);
  EXPECT_EQ(chain_.reader().consumed(), 6u);
}

TEST_F(ChainTest, ShortReadMovesNothing) {
  chain_.AddReadable(Range(bytes_.data(), 3));

  EXPECT_FALSE(chain_.reader().Read<uint32_t>());

  EXPECT_EQ(chain_.reader().remaining(), 3u);
}

TEST_F(ChainTest, ShortWriteWritesNothing) {
  chain_.AddWritable(Range(bytes_.data(), 3));

  EXPECT_FALSE(chain_.writer().Write(uint32_t{0}));

  EXPECT_EQ(bytes_[0], 'a');
  EXPECT_EQ(chain_.writer().written(), 0u);
}

TEST_F(ChainTest, WritesAcrossBuffersAndCounts) {
  chain_.AddWritable(Range(bytes_.data(), 2));
  chain_.AddWritable(Range(bytes_.data() + 10, 4));

  EXPECT_TRUE(chain_.writer().Write(std::array<char, 4>{'1', '2', '3', '4'}));

  EXPECT_EQ(std::string(bytes_.data(), 16), "12cdefghij34mnop");
  EXPECT_EQ(chain_.writer().written(), 4u);
}

TEST_F(ChainTest, TakesIovecsFromTheMiddleOfABuffer) {
  chain_.AddReadable(Range(bytes_.data(), 8));
  chain_.AddReadable(Range(bytes_.data() + 8, 8));
  EXPECT_TRUE(chain_.reader().Skip(6));
  std::vector<iovec> out;

  chain_.reader().TakeIovecs(5, out);

  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].iov_base, bytes_.data() + 6);
  EXPECT_EQ(out[0].iov_len, 2u);
  EXPECT_EQ(out[1].iov_base, bytes_.data() + 8);
  EXPECT_EQ(out[1].iov_len, 3u);
}

TEST_F(ChainTest, TakesFewerIovecsThanAsked) {
  chain_.AddReadable(Range(bytes_.data(), 8));
  std::vector<iovec> out;

  chain_.reader().TakeIovecs(100, out);

  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(chain_.reader().remaining(), 0u);
}

TEST_F(ChainTest, SkipBeyondTheEndFailsAtTheEnd) {
  chain_.AddReadable(Range(bytes_.data(), 8));

  EXPECT_FALSE(chain_.reader().Skip(9));

  EXPECT_EQ(chain_.reader().remaining(), 0u);
}

TEST_F(ChainTest, EmptyBuffersAreNotKept) {
  chain_.AddReadable(Range(bytes_.data(), 0));
  chain_.AddReadable(Range(bytes_.data(), 1));
  std::vector<iovec> out;

  chain_.reader().TakeIovecs(1, out);

  EXPECT_EQ(out.size(), 1u);
}

TEST_F(ChainTest, SplitTailKeepsTheLastBytesForItself) {
  chain_.AddWritable(Range(bytes_.data(), 4));
  chain_.AddWritable(Range(bytes_.data() + 4, 4));

  std::optional<Writer> tail = chain_.writer().SplitTail(5);
  ASSERT_TRUE(tail);
  EXPECT_EQ(chain_.writer().remaining(), 3u);
  EXPECT_FALSE(chain_.writer().Write(uint32_t{0}));
  EXPECT_TRUE(tail->Write(std::array<char, 5>{'1', '2', '3', '4', '5'}));
  EXPECT_TRUE(chain_.writer().Write(std::array<char, 3>{'x', 'y', 'z'}));

  EXPECT_EQ(std::string(bytes_.data(), 8), "xyz12345");
  EXPECT_EQ(chain_.writer().written(), 3u);
  EXPECT_EQ(tail->written(), 5u);
}

TEST_F(ChainTest, SplitTailRefusesMoreThanRemains) {
  chain_.AddWritable(Range(bytes_.data(), 4));

  EXPECT_FALSE(chain_.writer().SplitTail(5));

  EXPECT_EQ(chain_.writer().remaining(), 4u);
}

TEST_F(ChainTest, IovecsEndBeforeASplitTail) {
  chain_.AddWritable(Range(bytes_.data(), 8));
  const std::optional<Writer> tail = chain_.writer().SplitTail(1);
  std::vector<iovec> out;

  chain_.writer().TakeIovecs(8, out);

  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].iov_len, 7u);
  EXPECT_EQ(tail->remaining(), 1u);
}

// A file that was cut short is the nearest that a test can come to it.
TEST_F(ChainTest, MemoryThatTheHostHasLostEndsACopy) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer keeps signals back";
#endif
  if (!MadviseIsReal()) {
    GTEST_SKIP() << "signals lose their addresses here: an emulator of user "
                    "programs";
  }
  constexpr size_t kPage = 4096;
  const UniqueFd file(::memfd_create("lost", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), kPage), 0);
  void* const lost =
      ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(lost, MAP_FAILED);
  const auto event = EventFd::Create();
  ASSERT_TRUE(BusErrors::Install(event->get()).ok());
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  chain_.AddReadable({lost, 16});
  chain_.AddWritable({lost, 16});
  EXPECT_FALSE(chain_.reader().Read<uint32_t>());
  EXPECT_FALSE(chain_.writer().Write(std::as_bytes(std::span(bytes_))));
  BusErrors::Uninstall();
  ::munmap(lost, kPage);
}

}  // namespace
}  // namespace kvmlet::virtio
