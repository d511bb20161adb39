// SPDX-License-Identifier: Apache-2.0
// Backtraces as people read them.
#include "vmm/symbols/kernel_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/symbols/symbol_elf.h"

namespace kvmlet {
namespace {

class KernelReportTest : public testing::Test {
 protected:
  void SetUp() override {
    auto symbols = ParseSymbols(
        "ffffffff81000000 T panic\n"
        "ffffffff81000100 T vfs_write\n"
        "ffffffff81000200 T _etext\n"
        "ffffffffc0000000 t notify [pvpanic]\n"
        "ffffffffc0000100 t end [pvpanic]\n");
    ASSERT_TRUE(symbols.ok()) << symbols.status();
    symbols_ = *std::move(symbols);
  }
  std::unique_ptr<KernelSymbols> symbols_;
};

TEST_F(KernelReportTest, NamesWhatCalledAndNotWhatFollows) {
  const arch::Backtrace backtrace{
      .method = "ORC",
      .frames = {{.pc = 0xffffffffc0000010, .exact = true},
                 {.pc = 0xffffffff81000100},
                 {.pc = 0xffffffff81000100, .exact = true},
                 {.pc = 0xffffffff81000180, .guessed = true},
                 {.pc = 0xffffffffa0000000}}};
  EXPECT_EQ(FormatBacktrace(backtrace, symbols_.get(), 0),
            "backtrace (ORC):\n"
            "  ffffffffc0000010   notify+0x10/0x100 [pvpanic]\n"
            "  ffffffff81000100   panic+0x100/0x100\n"
            "  ffffffff81000100   vfs_write+0x0/0x100\n"
            "  ffffffff81000180 ? vfs_write+0x80/0x100\n"
            "  ffffffffa0000000\n");
}

TEST_F(KernelReportTest, TakesTheOffsetOff) {
  const arch::Backtrace backtrace{
      .method = "stack scan",
      .frames = {{.pc = 0xffffffff9d000012, .exact = true},
                 // Where a module of the file's boot was.
                 {.pc = 0xffffffffdc000010}}};
  EXPECT_EQ(FormatBacktrace(backtrace, symbols_.get(), 0x1c000000),
            "backtrace (stack scan):\n"
            "  ffffffff9d000012   panic+0x12/0x100\n"
            "  ffffffffdc000010\n");
}

TEST_F(KernelReportTest, WithoutSymbolsThereAreAddresses) {
  const arch::Backtrace backtrace{
      .method = "stack scan",
      .frames = {{.pc = 0xffffffff81000012, .exact = true},
                 {.pc = 0xffffffff81000180, .guessed = true}}};
  EXPECT_EQ(FormatBacktrace(backtrace, nullptr, 0),
            "backtrace (stack scan):\n"
            "  ffffffff81000012\n"
            "  ffffffff81000180 ?\n");
  EXPECT_EQ(FormatBacktrace({.user = true}, nullptr, 0),
            "backtrace: in user mode\n");
  EXPECT_EQ(FormatBacktrace({}, nullptr, 0), "");
}

TEST_F(KernelReportTest, WithoutAFileThereIsNothingToSayAboutIt) {
  const KernelReport report(nullptr);
  EXPECT_FALSE(report.wants_offset());
  EXPECT_EQ(report.Header(), "");
  EXPECT_FALSE(report.OffsetText().ok());
}

}  // namespace
}  // namespace kvmlet
