// SPDX-License-Identifier: Apache-2.0
#include "tests/arch/common/iasl.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace kvmlet::arch {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome RunShell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, n);
  }
  outcome.status = pclose(pipe);
  return outcome;
}

void WriteFile(const fs::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  for (const std::byte byte : bytes) file.put(static_cast<char>(byte));
}

Bytes ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  Bytes bytes;
  AppendText(bytes, text);
  return bytes;
}

// iasl signs what it compiles.
Bytes WithoutSignature(Bytes table) {
  constexpr size_t kChecksum = 9;
  constexpr size_t kCreator = 28;
  constexpr size_t kHeader = 36;
  if (table.size() < kHeader) return table;
  table[kChecksum] = std::byte{0};
  std::fill(table.begin() + kCreator, table.begin() + kHeader, std::byte{0});
  return table;
}

}  // namespace

void IaslFixture::SetUp() {
  if (RunShell("command -v iasl").status != 0) {
    GTEST_SKIP() << "iasl is not installed (Debian: acpica-tools)";
  }
  std::string name = (fs::temp_directory_path() / "acpi.XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  folder_ = name;
}

void IaslFixture::TearDown() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

void IaslFixture::ExpectNoRemark(const std::map<std::string, Bytes>& tables) {
  for (const auto& [signature, table] : tables) {
    // The RSDP is no table: iasl does not read it from a file.
    if (signature == "RSD PTR ") continue;
    SCOPED_TRACE(signature);
    const Bytes again = RoundTrip(signature, table);
    if (signature != "DSDT") {
      EXPECT_EQ(WithoutSignature(again), WithoutSignature(table));
    }
  }
}

// Disassembles and compiles again; the result's bytes.
Bytes IaslFixture::RoundTrip(const std::string& name, const Bytes& table) {
  WriteFile(folder_ / (name + ".dat"), table);
  const std::string cd = absl::StrCat("cd ", folder_.string(), " && ");
  const Outcome taken = RunShell(absl::StrCat(cd, "iasl -d ", name, ".dat"));
  EXPECT_EQ(taken.status, 0) << taken.output;
  for (const char* complaint : {"Error", "Warning", "Remark"}) {
    EXPECT_THAT(taken.output, testing::Not(HasSubstr(complaint)));
  }
  const Outcome made =
      RunShell(absl::StrCat(cd, "iasl -w3 -p again_", name, " ", name, ".dsl"));
  EXPECT_EQ(made.status, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr(" 0 Errors, 0 Warnings, 0 Remarks"));
  return ReadFile(folder_ / absl::StrCat("again_", name, ".aml"));
}

}  // namespace kvmlet::arch
