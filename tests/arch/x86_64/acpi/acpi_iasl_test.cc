// SPDX-License-Identifier: Apache-2.0
// Every table through iasl, the reference compiler: disassembled, compiled
// again without an error, warning or remark, and, for the tables that are plain
// data, equal to the table it came from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/layout.h"
#include "tests/arch/common/acpi_reader.h"
#include "tests/arch/x86_64/acpi/machines.h"

namespace kvmlet::arch::x86_64 {
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

// A folder that goes with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "acpi.XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

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

struct IaslCase {
  uint32_t cpus;
  uint32_t nodes;
};

class IaslTest : public testing::TestWithParam<IaslCase> {
 protected:
  void SetUp() override {
    if (RunShell("command -v iasl").status != 0) {
      GTEST_SKIP() << "iasl is not installed (Debian: acpica-tools)";
    }
    ASSERT_FALSE(folder_.path().empty());
  }

  // Disassembles and compiles again; the result's bytes.
  Bytes RoundTrip(const std::string& name, const Bytes& table) {
    WriteFile(folder_.path() / (name + ".dat"), table);
    const std::string cd = absl::StrCat("cd ", folder_.path().string(), " && ");
    const Outcome taken = RunShell(absl::StrCat(cd, "iasl -d ", name, ".dat"));
    EXPECT_EQ(taken.status, 0) << taken.output;
    for (const char* complaint : {"Error", "Warning", "Remark"}) {
      EXPECT_THAT(taken.output, testing::Not(HasSubstr(complaint)));
    }
    const Outcome made = RunShell(
        absl::StrCat(cd, "iasl -w3 -p again_", name, " ", name, ".dsl"));
    EXPECT_EQ(made.status, 0) << made.output;
    EXPECT_THAT(made.output, HasSubstr(" 0 Errors, 0 Warnings, 0 Remarks"));
    return ReadFile(folder_.path() / absl::StrCat("again_", name, ".aml"));
  }

  TempFolder folder_;
};

TEST_P(IaslTest, HasNothingToRemark) {
  constexpr uint64_t kLimit = kAcpiTablesEnd - kAcpiTables;
  AcpiMachine machine = TestMachine(GetParam().cpus, GetParam().nodes);
  // Some with slots whose devices come and go.
  if (GetParam().cpus > 1) {
    machine.pci.hotplug = {.registers = {kPciHotplug, kPciHotplugSize},
                           .slots = 0x800001fe};
  }
  const auto blob = BuildAcpi(machine, Gpa{kAcpiTables}, kLimit);
  ASSERT_TRUE(blob.ok()) << blob.status();
  const auto tables = ReadAcpi(blob->bytes, kAcpiTables);
  ASSERT_TRUE(tables.ok()) << tables.status();
  for (const auto& [signature, table] : *tables) {
    // The RSDP is no table: iasl does not read it from a file.
    if (signature == "RSD PTR ") continue;
    SCOPED_TRACE(signature);
    const Bytes again = RoundTrip(signature, table);
    if (signature != "DSDT") {
      EXPECT_EQ(WithoutSignature(again), WithoutSignature(table));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, IaslTest,
                         testing::Values(IaslCase{1, 0}, IaslCase{1, 2},
                                         IaslCase{4, 0}, IaslCase{4, 2},
                                         IaslCase{4, 4}, IaslCase{64, 0},
                                         IaslCase{64, 4}, IaslCase{300, 0},
                                         IaslCase{300, 2}, IaslCase{300, 4}),
                         [](const auto& info) {
                           return absl::StrCat(info.param.cpus, "Cpus",
                                               info.param.nodes, "Nodes");
                         });

}  // namespace
}  // namespace kvmlet::arch::x86_64
