// SPDX-License-Identifier: Apache-2.0
#include "vmm/verdict.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "vmm/base/unique_fd.h"

namespace kvmlet {
namespace {

using ::testing::HasSubstr;

int StatusOf(VerdictReason reason, uint64_t code = 0) {
  return Verdict{.reason = reason, .code = code}.ExitStatus();
}

TEST(VerdictStatusTest, EndsTheUserOrGuestChoseAreZero) {
  EXPECT_EQ(StatusOf(VerdictReason::kPowerOff), 0);
  EXPECT_EQ(StatusOf(VerdictReason::kQuit), 0);
  EXPECT_EQ(StatusOf(VerdictReason::kExit, 0), 0);
}

TEST(VerdictStatusTest, GuestsNumberIsKeptUpTo63) {
  EXPECT_EQ(StatusOf(VerdictReason::kExit, 1), 1);
  EXPECT_EQ(StatusOf(VerdictReason::kExit, 63), 63);
}

TEST(VerdictStatusTest, LargerNumbersAre63) {
  EXPECT_EQ(StatusOf(VerdictReason::kExit, 64), 63);
  EXPECT_EQ(StatusOf(VerdictReason::kExit, 256), 63);
  EXPECT_EQ(StatusOf(VerdictReason::kExit, UINT64_MAX), 63);
}

TEST(VerdictStatusTest, QemusConventionDoublesTheGuestsNumber) {
  const auto doubled = [](VerdictReason reason, uint64_t code) {
    return Verdict{.reason = reason, .code = code, .doubled = true}
        .ExitStatus();
  };
  EXPECT_EQ(doubled(VerdictReason::kExit, 0), 1);
  EXPECT_EQ(doubled(VerdictReason::kExit, 1), 3);
  EXPECT_EQ(doubled(VerdictReason::kExit, 38), 77);
  EXPECT_EQ(doubled(VerdictReason::kExit, 0xff), 255);
  EXPECT_EQ(doubled(VerdictReason::kExit, 0x1'0000'0000), 1);
  // Other ends keep their own.
  EXPECT_EQ(doubled(VerdictReason::kPowerOff, 0), 0);
  EXPECT_EQ(doubled(VerdictReason::kPanic, 0), 80);
}

TEST(VerdictStatusTest, BadEndsHaveTheirOwnStatus) {
  EXPECT_EQ(StatusOf(VerdictReason::kInternalError), 70);
  EXPECT_EQ(StatusOf(VerdictReason::kPanic), 80);
  EXPECT_EQ(StatusOf(VerdictReason::kTripleFault), 81);
  EXPECT_EQ(StatusOf(VerdictReason::kReset), 82);
  EXPECT_EQ(StatusOf(VerdictReason::kKvmError), 83);
  EXPECT_EQ(StatusOf(VerdictReason::kMemoryError), 84);
  EXPECT_EQ(StatusOf(VerdictReason::kTimeout), 124);
  EXPECT_EQ(StatusOf(VerdictReason::kIdleTimeout), 124);
}

TEST(VerdictStatusTest, SignalsCountFrom128) {
  EXPECT_EQ(StatusOf(VerdictReason::kSignal, SIGTERM), 143);
  EXPECT_EQ(StatusOf(VerdictReason::kSignal, SIGINT), 130);
}

TEST(VerdictStatusTest, RunThatDidNotStartHasItsErrorsStatus) {
  EXPECT_EQ(StatusOf(VerdictReason::kNotStarted, 66), 66);
}

TEST(VerdictNameTest, ReasonsAreDistinct) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(VerdictReason::kInternalError); ++i) {
    names.insert(VerdictReasonName(static_cast<VerdictReason>(i)));
  }
  EXPECT_EQ(names.size(),
            static_cast<size_t>(VerdictReason::kInternalError) + 1);
}

TEST(VerdictNameTest, DoorsAreStable) {
  EXPECT_EQ(DoorName(Door::kExitDevice), "exit-device");
  EXPECT_EQ(DoorName(Door::kVerdictPort), "verdict-port");
  EXPECT_EQ(DoorName(Door::kPvpanic), "pvpanic");
  EXPECT_EQ(DoorName(Door::kConsole), "console");
  EXPECT_EQ(DoorName(Door::kAcpiSleep), "acpi-sleep");
  EXPECT_EQ(DoorName(Door::kAcpiReset), "acpi-reset");
  EXPECT_EQ(DoorName(Door::kI8042), "i8042");
  EXPECT_EQ(DoorName(Door::kPciReset), "pci-reset");
  EXPECT_EQ(DoorName(Door::kPsci), "psci");
  EXPECT_EQ(DoorName(Door::kTripleFault), "triple-fault");
  EXPECT_EQ(DoorName(Door::kSystemEvent), "system-event");
}

TEST(VerdictJsonTest, FullCodeStandsBesideTheStatus) {
  const Json json = Verdict{.reason = VerdictReason::kExit,
                            .door = Door::kVerdictPort,
                            .code = 1000,
                            .text = "three tests failed",
                            .wall_seconds = 1.5,
                            .cpu_seconds = 0.5}
                        .ToJson();
  EXPECT_EQ(DumpJson(json),
            R"({"code":1000,"cpu_seconds":0.5,"door":"verdict-port",)"
            R"("reason":"exit","status":63,"text":"three tests failed",)"
            R"("wall_seconds":1.5})");
}

TEST(VerdictJsonTest, LeavesOutWhatThereIsNot) {
  const Json json = Verdict{.reason = VerdictReason::kTimeout}.ToJson();
  EXPECT_FALSE(json.contains("door"));
  EXPECT_FALSE(json.contains("text"));
  EXPECT_FALSE(json.contains("registers"));
}

TEST(VerdictJsonTest, HasRegistersWhenThereAreAny) {
  const Json json = Verdict{.reason = VerdictReason::kTripleFault,
                            .registers = "vcpu 0: rip 0\n"}
                        .ToJson();
  EXPECT_EQ(json["registers"], "vcpu 0: rip 0\n");
}

class VerdictFileTest : public ::testing::Test {
 protected:
  VerdictFileTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "kvmlet-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  ~VerdictFileTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string File(const std::string& name) const {
    return folder_ + "/" + name;
  }
  Json Read(const std::string& path) const {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return ParseJson(text.str()).value_or(Json());
  }
  size_t FilesInFolder() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(folder_)) {
      ++count;
    }
    return count;
  }

  std::string folder_;
  const Verdict verdict_{.reason = VerdictReason::kPanic,
                         .door = Door::kPvpanic};
};

TEST_F(VerdictFileTest, ReplacesTheFileAndLeavesNothingElse) {
  std::ofstream(File("v")) << std::string(10'000, 'x');
  ASSERT_TRUE(verdict_.Write(File("v")).ok());
  EXPECT_EQ(Read(File("v"))["status"], 80);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(VerdictFileTest, GuestsBytesStayJson) {
  const Verdict verdict{.reason = VerdictReason::kExit,
                        .text = "\xff\x1b[31m\"\n\\ \xc3\x28"};
  ASSERT_TRUE(verdict.Write(File("v")).ok());
  EXPECT_EQ(Read(File("v"))["reason"], "exit");
}

TEST_F(VerdictFileTest, SymbolicLinkStays) {
  std::ofstream(File("real")) << "old";
  ASSERT_EQ(::symlink("real", File("link").c_str()), 0);
  ASSERT_TRUE(verdict_.Write(File("link")).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(File("link")));
  EXPECT_EQ(Read(File("real"))["reason"], "panic");
}

TEST_F(VerdictFileTest, LinkAtTheTemporaryNameIsNotFollowed) {
  std::ofstream(File("precious")) << "keep";
  const std::string trap =
      File("v") + "." + std::to_string(::getpid()) + ".tmp";
  ASSERT_EQ(::symlink("precious", trap.c_str()), 0);
  ASSERT_TRUE(verdict_.Write(File("v")).ok());
  std::stringstream text;
  text << std::ifstream(File("precious")).rdbuf();
  EXPECT_EQ(text.str(), "keep");
}

TEST_F(VerdictFileTest, FifoIsWrittenTo) {
  ASSERT_EQ(::mkfifo(File("fifo").c_str(), 0600), 0);
  const UniqueFd reader(
      ::open(File("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(verdict_.Write(File("fifo")).ok());
  std::array<char, 4096> text;
  const ssize_t n = ::read(reader.get(), text.data(), text.size());
  ASSERT_GT(n, 0);
  EXPECT_THAT(std::string(text.data(), static_cast<size_t>(n)),
              HasSubstr("\"reason\": \"panic\""));
}

TEST_F(VerdictFileTest, FifoWithoutReaderIsAnErrorNotAWait) {
  ASSERT_EQ(::mkfifo(File("fifo").c_str(), 0600), 0);
  EXPECT_THAT(std::string(verdict_.Write(File("fifo")).message()),
              HasSubstr("--verdict"));
}

TEST_F(VerdictFileTest, DeviceIsWrittenTo) {
  EXPECT_TRUE(verdict_.Write("/dev/null").ok());
}

TEST_F(VerdictFileTest, ErrorNamesFlagAndPath) {
  const std::string path = File("none/v");
  EXPECT_THAT(std::string(verdict_.Write(path).message()),
              ::testing::AllOf(HasSubstr("--verdict"), HasSubstr(path),
                               HasSubstr("ENOENT")));
}

}  // namespace
}  // namespace kvmlet
