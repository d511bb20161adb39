// SPDX-License-Identifier: Apache-2.0
// What a person can get wrong: the exit status, one line on standard error,
// the verdict, and nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "tests/kvm/guest_code.h"
#include "tests/kvm/kvmlet_process.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

using testing::IsEmpty;

struct BadInput {
  const char* name;
  int status;
  const char* part;               // of the line
  std::vector<std::string> args;  // $D: the folder, $K: a good kernel
  friend std::ostream& operator<<(std::ostream& out, const BadInput& input) {
    return out << input.name;
  }
};

const BadInput kBadInputs[] = {
    {"NoKernel", 64, "--kernel", {}},
    {"MissingKernel", 66, "--kernel", {"--kernel", "$D/none"}},
    {"KernelIsAFolder", 65, "--kernel", {"--kernel", "$D"}},
    {"EmptyKernel", 65, "--kernel", {"--kernel", "$D/empty"}},
    {"TextKernel", 65, "--kernel", {"--kernel", "$D/text"}},
    {"TruncatedKernel", 65, "--kernel", {"--kernel", "$D/truncated"}},
    {"CorruptGzipKernel", 65, "--kernel", {"--kernel", "$D/corrupt.gz"}},
    {"KernelBeyondMemory",
     65,
     "memory",
     {"--kernel", "$D/large", "--memory", "2M"}},
    {"MissingInitrd",
     66,
     "--initrd",
     {"--kernel", "$K", "--initrd", "$D/none"}},
    {"InitrdBeyondMemory",
     65,
     "--initrd",
     {"--kernel", "$K", "--initrd", "$D/8M", "--memory", "4M"}},
    {"UnknownFlag", 64, "--kernal", {"--kernal", "x"}},
    {"UnknownKey", 64, "'rw'", {"--kernel", "$K", "--disk", "$D/8M,rw"}},
    {"SizeThatOverflows",
     64,
     "--memory",
     {"--kernel", "$K", "--memory", "99999999999999999999"}},
    {"SizeAboveTheHost", 65, "--memory", {"--kernel", "$K", "--memory", "64T"}},
    {"SizeOfNothing", 64, "--memory", {"--kernel", "$K", "--memory", "0"}},
    {"MemoryFileInNoFolder",
     66,
     "--memory file=",
     {"--kernel", "$K", "--memory", "64M,file=$D/none/ram"}},
    {"MemoryFileIsAFolder",
     66,
     "--memory file=",
     {"--kernel", "$K", "--memory", "64M,file=$D"}},
    {"MissingDisk", 66, "--disk", {"--kernel", "$K", "--disk", "$D/none"}},
    {"DiskIsAFolder", 66, "--disk", {"--kernel", "$K", "--disk", "$D"}},
    {"SerialFileInNoFolder",
     66,
     "--serial",
     {"--kernel", "$K", "--serial", "file:$D/none/x"}},
    {"SerialFileIsAFolder",
     66,
     "--serial",
     {"--kernel", "$K", "--serial", "file:$D"}},
    {"QmpSocketInNoFolder",
     66,
     "--qmp",
     {"--kernel", "$K", "--qmp", "unix:$D/none/x"}},
    {"EventsInNoFolder",
     66,
     "--events",
     {"--kernel", "$K", "--events", "$D/none/x"}},
    {"TooManyCpus", 64, "--cpus", {"--kernel", "$K", "--cpus", "5000"}},
    {"MoreCpusThanApicIds", 65, "--cpus", {"--kernel", "$K", "--cpus", "300"}},
    {"MemoryDeviceBeyondTheWindow",
     65,
     "--virtio-mem vm0",
     {"--kernel", "$K", "--virtio-mem", "max=64T"}},
    {"MemoryDeviceFileInNoFolder",
     66,
     "--virtio-mem vm0 file=",
     {"--kernel", "$K", "--virtio-mem", "max=1G,file=$D/none/ram"}},
    {"MemoryDeviceFileWithoutHoles",
     65,
     "punch holes",
     {"--kernel", "$K", "--virtio-mem", "max=1G,file=/dev/null"}},
    {"MemoryDeviceLargerThanItsMaximum",
     64,
     "--virtio-mem",
     {"--kernel", "$K", "--virtio-mem", "max=1G,size=2G"}},
    {"MissingSymbols",
     66,
     "--symbols",
     {"--kernel", "$K", "--symbols", "$D/none"}},
    {"SymbolsAreAFolder",
     65,
     "--symbols",
     {"--kernel", "$K", "--symbols", "$D"}},
    {"SymbolsAreEmpty",
     65,
     "--symbols",
     {"--kernel", "$K", "--symbols", "$D/empty"}},
    {"SymbolsAreSomethingElse",
     65,
     "a copy of the guest's /proc/kallsyms",
     {"--kernel", "$K", "--symbols", "$D/text"}},
    {"OnHangWithoutALimit",
     64,
     "--on-hang",
     {"--kernel", "$K", "--on-hang", "report"}},
    {"OnHangGdbWithoutGdb",
     64,
     "--on-hang",
     {"--kernel", "$K", "--on-hang", "gdb"}},
};

class BadInputTest : public KvmletTest,
                     public testing::WithParamInterface<BadInput> {
 protected:
  void SetUp() override {
    KvmletTest::SetUp();
    File("empty", "");
    File("text", std::string(100'000, 'x'));
    File("corrupt.gz", "\x1f\x8b\x08" + std::string(5000, '\xaa'));
    std::ifstream in(Payload("exit_long"), std::ios::binary);
    const std::string elf{std::istreambuf_iterator<char>(in), {}};
    File("truncated", elf.substr(0, 100));
    File("large", GuestCode().Exit(0).Kernel() + std::string(8 << 20, '\x90'));
    File("8M", std::string(8 << 20, 'x'));
    before_ = Files();
  }
  std::vector<std::string> Fill(const std::vector<std::string>& args) const {
    std::vector<std::string> filled;
    for (const std::string& arg : args) {
      filled.push_back(absl::StrReplaceAll(
          arg,
          {{"$K", Payload("exit")},
           {"$D/", Path("")},
           {"$D", std::filesystem::path(Path("x")).parent_path().string()}}));
    }
    return filled;
  }
  // No socket, no temporary file.
  void ExpectNothingLeft() const {
    std::vector<std::string> now = Files();
    std::erase(now, "verdict.json");
    EXPECT_EQ(now, before_);
  }

  std::vector<std::string> before_;
};

TEST_P(BadInputTest, IsOneLineAndItsStatus) {
  const Outcome outcome = Run(Fill(GetParam().args));
  EXPECT_EQ(outcome.status, GetParam().status) << outcome.err;
  ExpectOneLine(outcome.err, GetParam().part);
  EXPECT_EQ(outcome.out, "");
  ExpectNothingLeft();
}

TEST_P(BadInputTest, LeavesNoSocketWithTheOthersGood) {
  std::vector<std::string> args = {"--qmp", "unix:" + Path("qmp")};
  for (std::string& arg : Fill(GetParam().args)) args.push_back(std::move(arg));
  const Outcome outcome = Run(args);
  EXPECT_EQ(outcome.status, GetParam().status) << outcome.err;
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(Table, BadInputTest, testing::ValuesIn(kBadInputs),
                         [](const auto& info) { return info.param.name; });

class BadHostTest : public KvmletTest {};

TEST_F(BadHostTest, ANotStartedGuestHasAVerdictToo) {
  const Outcome outcome = Run({"--kernel", Path("none")});
  EXPECT_EQ(outcome.verdict["reason"], "not-started");
  EXPECT_EQ(outcome.verdict["status"], 66);
}

TEST_F(BadHostTest, AQmpSocketInUseIsNotTaken) {
  const auto other = UnixListener::Create("--qmp", Path("qmp"));
  ASSERT_TRUE(other.ok());
  const Outcome outcome =
      Run({"--kernel", Payload("exit"), "--qmp", "unix:" + Path("qmp")});
  EXPECT_NE(outcome.status, 0);
  ExpectOneLine(outcome.err, "--qmp");
  EXPECT_TRUE(std::filesystem::exists(Path("qmp")));
}

TEST_F(BadHostTest, AVerdictThatCannotBeWrittenIsSaid) {
  KvmletProcess process({"run", "--kernel", Payload("exit"), "--verdict",
                         Path("none/verdict.json")});
  EXPECT_EQ(process.Wait(), 66) << process.err();
  ExpectOneLine(process.err(), "--verdict");
}

// As nobody, without privileges.
bool BecomeNobody() { return ::setgid(65534) == 0 && ::setuid(65534) == 0; }

TEST_F(BadHostTest, AKernelThatMayNotBeReadCannotBeOpened) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to drop a capability";
  const std::string kernel = File("secret", GuestCode().Exit(0).Kernel());
  std::filesystem::permissions(kernel, std::filesystem::perms::none);
  KvmletProcess process({"run", "--kernel", kernel}, [] {
    // What lets root read everything: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH.
    return ::prctl(PR_CAPBSET_DROP, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_CAPBSET_DROP, 2, 0, 0, 0) == 0;
  });
  const int status = process.Wait();
  if (status >= 250) GTEST_SKIP() << "may not drop capabilities here";
  EXPECT_EQ(status, 66);
  ExpectOneLine(process.err(), "Permission denied");
}

TEST_F(BadHostTest, WithoutKvmTheRemedyIsNamed) {
  KvmletProcess process(RunArgs({"--kernel", Payload("exit")}), [] {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("none", "/dev", "tmpfs", 0, nullptr) == 0;
  });
  const int status = process.Wait();
  if (status >= 250) GTEST_SKIP() << "may not make a mount namespace here";
  EXPECT_EQ(status, 69);
  ExpectOneLine(process.err(), "/dev/kvm");
  EXPECT_EQ(Verdict()["reason"], "not-started");
}

TEST_F(BadHostTest, WithoutPermissionForKvmTheRemedyIsNamed) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  if (::access("/dev/kvm", F_OK) != 0) GTEST_SKIP() << "no /dev/kvm";
  KvmletProcess process({"run", "--kernel", Payload("exit")}, BecomeNobody);
  const int status = process.Wait();
  if (status == 0) GTEST_SKIP() << "everybody may use /dev/kvm here";
  EXPECT_EQ(status, 69) << process.err();
  ExpectOneLine(process.err(), "group kvm");
}

TEST_F(BadHostTest, ATapWithoutPermissionIsOneLine) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to drop a capability";
  KvmletProcess process(
      RunArgs({"--kernel", Payload("exit"), "--net", "tap=kvmlet-none"}), [] {
        constexpr unsigned long kNetAdmin = 12;  // CAP_NET_ADMIN
        return ::prctl(PR_CAPBSET_DROP, kNetAdmin, 0, 0, 0) == 0;
      });
  const int status = process.Wait();
  if (status >= 250) GTEST_SKIP() << "may not drop capabilities here";
  EXPECT_NE(status, 0);
  ExpectOneLine(process.err(), "--net");
}

TEST_F(BadHostTest, AHostWithoutMemoryIsOneLine) {
  const Outcome outcome =
      Run({"--kernel", Payload("exit"), "--memory", "384G,hugepages=1G"});
  EXPECT_EQ(outcome.status, 71) << outcome.err;
  ExpectOneLine(outcome.err, "--memory");
}

}  // namespace
}  // namespace kvmlet
