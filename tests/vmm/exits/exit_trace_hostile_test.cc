// SPDX-License-Identifier: Apache-2.0
// Files that are no trace, that were cut, or that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "tests/vmm/exits/trace_file.h"
#include "vmm/base/exit_status.h"
#include "vmm/exits/exit_report.h"
#include "vmm/exits/exits.h"

namespace kvmlet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ExitTraceHostileTest : public TraceFileTest {
 protected:
  ExitTraceHostileTest() {
    Create(2);
    for (uint16_t i = 0; i < 300; ++i) Exit(Port(i), i % 3 == 0 ? 1 : 0);
    End();
    bytes_ = Bytes();
  }
  template <typename T>
  void Put(size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(value));
  }
  // What is wrong with it, or nothing.
  std::string Fault() const {
    const auto data = ParseExitTrace(bytes_);
    if (data.ok()) return "";
    EXPECT_EQ(ExitStatusFor(data.status()), 65);
    return std::string(data.status().message());
  }
  void Write(const std::string& content) const {
    std::ofstream(path_, std::ios::binary) << content;
  }
  // Of `kvmlet exits`; err_ is what it said.
  int Main(const std::string& path) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = ExitsMain(path, ExitsFormat::kTable, out, err);
    err_ = err.str();
    EXPECT_EQ(out.str().empty(), status != 0);
    return status;
  }
  std::vector<std::byte> bytes_;
  std::string err_;
};

TEST_F(ExitTraceHostileTest, TheWholeFileIsFine) { EXPECT_EQ(Fault(), ""); }

TEST_F(ExitTraceHostileTest, EveryCutIsAnError) {
  const std::vector<std::byte> whole = bytes_;
  for (size_t size = 0; size < whole.size(); size += size < 64 ? 1 : 509) {
    bytes_.assign(whole.begin(),
                  whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(Fault(), HasSubstr(size < 48 ? "too short" : "cut short"))
        << size;
  }
}

TEST_F(ExitTraceHostileTest, HeadersThatLieAreErrors) {
  const std::vector<std::byte> whole = bytes_;
  const auto with = [&](size_t offset, auto value) {
    bytes_ = whole;
    Put(offset, value);
    return Fault();
  };
  using Header = ExitTraceHeader;
  EXPECT_THAT(with(0, 'k'), HasSubstr("no trace of exits"));
  EXPECT_THAT(with(offsetof(Header, version), 2u), HasSubstr("version 2"));
  EXPECT_NE(with(offsetof(Header, record_size), 8u), "");
  EXPECT_NE(with(offsetof(Header, record_size), 0u), "");
  EXPECT_NE(with(offsetof(Header, reasons), 65u), "");
  for (const uint32_t vcpus : {0u, 3u, 4096u, 4097u, UINT32_MAX}) {
    EXPECT_NE(with(offsetof(Header, vcpus), vcpus), "") << vcpus;
  }
  for (const uint64_t capacity :
       {uint64_t{0}, kCapacity + 1, UINT64_MAX, UINT64_MAX / 24,
        UINT64_MAX / 24 + 1, uint64_t{1} << 32}) {
    EXPECT_NE(with(offsetof(Header, capacity), capacity), "") << capacity;
  }
}

TEST_F(ExitTraceHostileTest, CountsThatLieReadNothingOutside) {
  for (const uint64_t written : {uint64_t{0}, kCapacity, UINT64_MAX,
                                 UINT64_MAX - kCapacity, uint64_t{1} << 63}) {
    for (const uint64_t end : {uint64_t{0}, uint64_t{1}}) {
      Put(offsetof(ExitTraceHeader, end), end);
      Put(kExitTracePage, written);
      const auto data = ParseExitTrace(bytes_);
      ASSERT_TRUE(data.ok());
      EXPECT_LE(data->exits.size(), 2 * kCapacity);
      EXPECT_EQ(data->vcpus[0].exits, written);
    }
  }
}

TEST_F(ExitTraceHostileTest, NoiseIsPrintedOrRefused) {
  std::mt19937_64 random(7);
  const std::vector<std::byte> whole = bytes_;
  for (int round = 0; round < 200; ++round) {
    bytes_ = whole;
    // Sometimes the header, mostly the rest.
    const size_t from = round % 4 == 0 ? 8 : kExitTracePage;
    for (int i = 0; i < 2000; ++i) {
      bytes_[from + random() % (bytes_.size() - from)] =
          static_cast<std::byte>(random());
    }
    const auto data = ParseExitTrace(bytes_);
    if (!data.ok()) continue;
    std::ostringstream list;
    ListExits(*data, list);
    EXPECT_EQ(ExitJson(*data).back(), '\n');
    EXPECT_THAT(ExitTable(*data), HasSubstr("REASON"));
  }
}

TEST_F(ExitTraceHostileTest, ErrorsAreOneLineThatNamesTheFile) {
  Write("not a trace, but a text that is longer than the header of one is");
  EXPECT_EQ(Main(path_), 65);
  EXPECT_EQ(err_, "kvmlet exits: " + path_ +
                      ": no trace of exits, as kvmlet run --trace-exits writes "
                      "it\n");
  Write("");
  EXPECT_EQ(Main(path_), 65);
  EXPECT_EQ(Main(folder_), 65);
  EXPECT_THAT(err_, HasSubstr("not a regular file"));
  EXPECT_EQ(Main("/dev/zero"), 65);
  EXPECT_EQ(Main(folder_ + "/none"), 66);
  EXPECT_THAT(err_, StartsWith("kvmlet exits: " + folder_ + "/none: "));
  std::filesystem::resize_file(path_, kExitTraceMostBytes + 1);
  EXPECT_EQ(Main(path_), 65);
  EXPECT_THAT(err_, HasSubstr("more than 256 MiB"));
}

}  // namespace
}  // namespace kvmlet
