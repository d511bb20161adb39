// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/vmm/cli/shell.h"
#include "vmm/cli/man_page.h"

namespace kvmlet::cli {
namespace {

using ::testing::HasSubstr;

std::string WithoutEscapes(std::string text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '-') continue;
    out += text[i];
  }
  return out;
}

TEST(HelpTest, NamesEveryFlagAndKey) {
  const std::string text = CommandHelp(*FindCommand("run"));
  for (const FlagSpec& flag : RunFlags()) {
    EXPECT_THAT(text, HasSubstr("  " + FlagSyntax(flag) + "\n"));
    for (const KeySpec& key : flag.keys) {
      EXPECT_THAT(text, HasSubstr(KeySyntax(key)));
    }
  }
}

TEST(HelpTest, FitsAnOrdinaryTerminal) {
  for (const CommandSpec& command : Commands()) {
    const std::string text = CommandHelp(command);
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      EXPECT_LE(end - at, 79u) << text.substr(at, end - at);
      at = end + 1;
    }
  }
}

TEST(HelpTest, ShowsDefaults) {
  EXPECT_THAT(FlagText(*FindFlag(RunFlags(), "memory")),
              HasSubstr("Default: 512M."));
  EXPECT_THAT(FlagText(*FindFlag(RunFlags(), "rng")),
              HasSubstr("Default: on."));
}

TEST(FlagTableTest, NamesAreUniqueAndDashed) {
  std::set<std::string_view> names;
  for (const FlagSpec& flag : RunFlags()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name;
    EXPECT_EQ(flag.name.find('_'), flag.name.npos);
    EXPECT_FALSE(flag.text.empty());
    EXPECT_EQ(flag.value.empty(), flag.type == FlagType::kBool) << flag.name;
  }
}

TEST(FlagTableTest, FlagsThatDoNotExistYetAreNotListed) {
  for (const char* name : {"fs", "snapshot"}) {
    EXPECT_EQ(FindFlag(RunFlags(), name), nullptr) << name;
  }
}

TEST(ManPageTest, HasTheSectionsOfAManualPage) {
  const std::string page = ManPage();
  size_t last = 0;
  for (const char* title : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS",
                            "EXIT STATUS", "EXAMPLES", "FILES", "SEE ALSO"}) {
    const size_t at = page.find(std::string(".SH ") + title + "\n");
    ASSERT_NE(at, page.npos) << title;
    EXPECT_GT(at, last) << title;
    last = at;
  }
}

TEST(ManPageTest, NamesEveryFlagKeyAndStatus) {
  const std::string page = WithoutEscapes(ManPage());
  for (const FlagSpec& flag : RunFlags()) {
    EXPECT_THAT(page, HasSubstr(std::string(flag.name)));
    for (const KeySpec& key : flag.keys) {
      EXPECT_THAT(page, HasSubstr("\\fB" + std::string(key.name) + "\\fR"));
    }
  }
  for (const StatusText& status : ExitStatuses()) {
    EXPECT_THAT(page, HasSubstr("\\fB" + std::string(status.status) + "\\fR"));
  }
}

class ManPageToolTest : public testing::Test {
 protected:
  ManPageToolTest() { std::ofstream(path_) << ManPage(); }
  ~ManPageToolTest() override { std::remove(path_.c_str()); }
  static bool Has(const std::string& program) {
    return !Shell("command -v " + program).empty();
  }
  std::string path_ = testing::TempDir() + "kvmlet-man-test.1";
};

TEST_F(ManPageToolTest, GroffHasNoWarnings) {
  if (!Has("groff")) GTEST_SKIP() << "no groff here";
  EXPECT_EQ(Shell("groff -ww -man -Tutf8 " + path_ + " 2>&1 >/dev/null"), "");
}

TEST_F(ManPageToolTest, ManHasNoWarnings) {
  if (!Has("man")) GTEST_SKIP() << "no man here";
  EXPECT_EQ(Shell("LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l " + path_ +
                  " 2>&1 >/dev/null"),
            "");
}

TEST_F(ManPageToolTest, MandocHasNoWarnings) {
  if (!Has("mandoc")) GTEST_SKIP() << "no mandoc here";
  EXPECT_EQ(Shell("mandoc -T lint -W warning " + path_ + " 2>&1"), "");
}

}  // namespace
}  // namespace kvmlet::cli
