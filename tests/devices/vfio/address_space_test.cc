// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/address_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "devices/vfio/host_device.h"
#include "devices/vfio/uapi.h"
#include "tests/fakes/fake_vfio.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::vfio {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "01234567-89ab-cdef-0123-456789abcdef";
constexpr char kOther[] = "99999999-89ab-cdef-0123-456789abcdef";

enum class Api { kContainer, kIommufd };

class AddressSpaceTest : public ::testing::TestWithParam<Api> {
 protected:
  AddressSpaceTest() {
    const AddressSpace::Context context{
        .calls = kernel_, .paths = {}, .kvm = &kernel_};
    space_ = GetParam() == Api::kContainer ? MakeContainer(context)
                                           : MakeIommufd(context);
  }
  bool container() const { return GetParam() == Api::kContainer; }
  absl::StatusOr<std::unique_ptr<DeviceHandle>> Open(
      const fakes::FakeDevice& device, const char* token = nullptr) {
    TokenDecision decision;
    if (token != nullptr) decision.send = *Token::Parse("", token);
    return space_->Open(kernel_.FactsOf(device), decision);
  }
  std::string Refusal(const fakes::FakeDevice& device,
                      const char* token = nullptr) {
    const auto handle = Open(device, token);
    EXPECT_FALSE(handle.ok());
    const std::string text(handle.status().message());
    EXPECT_THAT(text, HasSubstr(device.bdf));
    EXPECT_THAT(text, Not(HasSubstr("01234567")));
    EXPECT_EQ(kernel_.files(), 0) << "KVM still knows a file";
    EXPECT_EQ(kernel_.mapped(), 0u);
    return text;
  }
  void MakeVirtual() {
    pf_.is_pf = true;
    pf_.token = Token::Parse("", kToken)->bytes();
    vf_.pf = &pf_;
  }

  fakes::FakeVfio kernel_;
  fakes::FakeDevice& pf_ = kernel_.AddDevice("0000:01:00.0", 6);
  fakes::FakeDevice& vf_ = kernel_.AddNetwork("0000:01:10.0", 7);
  fakes::FakeDevice& sibling_ = kernel_.AddNetwork("0000:01:10.1", 7);
  std::unique_ptr<AddressSpace> space_;
  std::array<std::byte, 8192> memory_;
};

TEST_P(AddressSpaceTest, MemoryIsMappedWithTheFirstDeviceOnly) {
  ASSERT_TRUE(space_->Map(0x1000, 4096, memory_.data()).ok());
  EXPECT_EQ(kernel_.mapped(), 0u);
  const auto first = Open(vf_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(kernel_.mapped(), 1u);
  const auto second = Open(pf_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(kernel_.CountOf("MAP 0x1000"), 1);
  ASSERT_TRUE(space_->Map(0x8000, 4096, memory_.data() + 4096).ok());
  EXPECT_EQ(kernel_.mapped(), 2u);
  ASSERT_TRUE(space_->Unmap(0x1000).ok());
  EXPECT_EQ(kernel_.mapped(), 1u);
  EXPECT_EQ(space_->mapped_bytes(), 4096u);
}

TEST_P(AddressSpaceTest, NextDeviceAfterTheLastFindsTheMemoryAgain) {
  ASSERT_TRUE(space_->Map(0x1000, 4096, memory_.data()).ok());
  for (int round = 0; round < 3; ++round) {
    const auto handle = Open(vf_);
    ASSERT_TRUE(handle.ok()) << handle.status();
    EXPECT_EQ(kernel_.mapped(), 1u);
    EXPECT_EQ(kernel_.files(), 1);
  }
  EXPECT_EQ(kernel_.mapped(), 0u);
  EXPECT_EQ(kernel_.files(), 0);
  EXPECT_EQ(kernel_.CountOf("MAP 0x1000"), 3);
}

TEST_P(AddressSpaceTest, OverlappingMemoryIsRefused) {
  ASSERT_TRUE(space_->Map(0x2000, 8192, memory_.data()).ok());
  EXPECT_FALSE(space_->Map(0x3000, 4096, memory_.data()).ok());
  EXPECT_FALSE(space_->Map(0x1000, 8192, memory_.data()).ok());
  EXPECT_TRUE(space_->Map(0x1000, 4096, memory_.data()).ok());
  EXPECT_EQ(space_->mapped_bytes(), 12288u);
}

TEST_P(AddressSpaceTest, FailedMappingUndoesEverything) {
  ASSERT_TRUE(space_->Map(0x1000, 4096, memory_.data()).ok());
  ASSERT_TRUE(space_->Map(0x100000, 4096, memory_.data()).ok());
  kernel_.iova_limit = 0xffff;
  EXPECT_FALSE(Open(vf_).ok());
  EXPECT_EQ(kernel_.mapped(), 0u);
  EXPECT_EQ(kernel_.files(), 0);
  kernel_.iova_limit = UINT64_MAX;
  EXPECT_TRUE(Open(vf_).ok());
}

TEST_P(AddressSpaceTest, MappingThatFailsLaterIsForgotten) {
  const auto handle = Open(vf_);
  ASSERT_TRUE(handle.ok());
  kernel_.Fail(VFIO_IOMMU_MAP_DMA, ENOMEM);
  kernel_.Fail(kIoasMap, ENOMEM);
  const absl::Status status = space_->Map(0x1000, 4096, memory_.data());
  EXPECT_EQ(ExitStatusFor(status), 71);
  EXPECT_EQ(space_->mapped_bytes(), 0u);
  EXPECT_TRUE(space_->Map(0x1000, 4096, memory_.data()).ok());
}

TEST_P(AddressSpaceTest, LimitOfLockedMemoryIsToldWithWhatRaisesIt) {
  const auto handle = Open(vf_);
  ASSERT_TRUE(handle.ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &before), 0);
  const rlimit low{.rlim_cur = 1024, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &low), 0);
  kernel_.Fail(VFIO_IOMMU_MAP_DMA, ENOMEM);
  kernel_.Fail(kIoasMap, ENOMEM);
  const absl::Status status = space_->Map(0x1000, 4096, memory_.data());
  EXPECT_EQ(::setrlimit(RLIMIT_MEMLOCK, &before), 0);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("locked: 4 KiB, and the limit is 1 KiB"));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("'prlimit --pid ", ::getpid(),
                                           " --memlock=4096'")));
}

TEST_P(AddressSpaceTest, TokenTableOfTheKernel) {
  MakeVirtual();
  EXPECT_THAT(Refusal(vf_), HasSubstr("VF token required"));
  EXPECT_THAT(Refusal(vf_, kOther), HasSubstr("incorrect VF token"));
  EXPECT_TRUE(Open(vf_, kToken).ok());
  EXPECT_EQ(pf_.users, 1);
  pf_.users = 0;
  EXPECT_TRUE(Open(pf_, kOther).ok());
  EXPECT_EQ(pf_.token, Token::Parse("", kOther)->bytes());
  pf_.users = 1;
  EXPECT_THAT(Refusal(pf_), HasSubstr("virtual functions are in use"));
  EXPECT_THAT(Refusal(pf_, kToken), HasSubstr("opened with another one"));
  EXPECT_TRUE(Open(pf_, kOther).ok());
}

TEST_P(AddressSpaceTest, BusyFunctionIsTriedAgain) {
  kernel_.Fail(VFIO_GROUP_GET_DEVICE_FD, EAGAIN, 2);
  kernel_.Fail(kBindIommufd, EAGAIN, 2);
  EXPECT_TRUE(Open(vf_).ok());
}

TEST_P(AddressSpaceTest, HostWithoutTheInterfaceIsSaidSo) {
  DeviceFacts facts = kernel_.FactsOf(vf_);
  facts.group = 99;
  facts.cdev.clear();
  const auto handle = space_->Open(facts, {});
  EXPECT_EQ(ExitStatusFor(handle.status()), container() ? 71 : 69);
}

INSTANTIATE_TEST_SUITE_P(Both, AddressSpaceTest,
                         ::testing::Values(Api::kContainer, Api::kIommufd),
                         [](const auto& api) {
                           return api.param == Api::kContainer ? "Container"
                                                               : "Iommufd";
                         });

class ContainerTest : public AddressSpaceTest {};
INSTANTIATE_TEST_SUITE_P(Container, ContainerTest,
                         ::testing::Values(Api::kContainer));

TEST_P(ContainerTest, DevicesOfOneGroupShareIt) {
  auto first = Open(vf_);
  auto second = Open(sibling_);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(kernel_.CountOf("SET_CONTAINER"), 1);
  first->reset();
  EXPECT_EQ(kernel_.CountOf("UNSET_CONTAINER"), 0);
  second->reset();
  EXPECT_EQ(kernel_.CountOf("UNSET_CONTAINER"), 1);
  EXPECT_EQ(kernel_.CountOf("KVM_DEL group"), 1);
}

TEST_P(ContainerTest, NameCarriesTheToken) {
  MakeVirtual();
  ASSERT_TRUE(Open(vf_, kToken).ok());
  EXPECT_EQ(kernel_.last_name, std::string("0000:01:10.0 vf_token=") + kToken);
  pf_.users = 0;
  ASSERT_TRUE(Open(pf_).ok());
  EXPECT_EQ(kernel_.last_name, "0000:01:00.0");
}

TEST_P(ContainerTest, ErrorsOfTheGroupAreSentences) {
  struct Case {
    unsigned long request;
    int error;
    const char* text;
    int status;
  };
  for (const Case& c :
       {Case{VFIO_GROUP_SET_CONTAINER, EPERM, "belongs to somebody else", 71},
        Case{VFIO_GROUP_SET_CONTAINER, EINVAL, "reserved_regions", 71},
        Case{VFIO_GROUP_SET_CONTAINER, EBUSY, "another user of the IOMMU", 71},
        Case{VFIO_SET_IOMMU, EPERM, "allow_unsafe_interrupts", 71},
        Case{VFIO_GROUP_GET_DEVICE_FD, ENODEV, "not in group 7", 71}}) {
    kernel_.Fail(c.request, c.error);
    const auto handle = Open(vf_);
    EXPECT_EQ(ExitStatusFor(handle.status()), c.status);
    EXPECT_THAT(std::string(handle.status().message()), HasSubstr(c.text));
  }
  EXPECT_TRUE(Open(vf_).ok()) << "something was left behind";
}

TEST_P(ContainerTest, KvmForgetsTheGroupBeforeItLeaves) {
  Open(vf_)->reset();
  const auto& log = kernel_.log();
  const auto del = std::ranges::find(log, "KVM_DEL group");
  const auto unset = std::ranges::find(log, "UNSET_CONTAINER 7");
  EXPECT_LT(del, unset);
  EXPECT_NE(unset, log.end());
}

class IommufdTest : public AddressSpaceTest {};
INSTANTIATE_TEST_SUITE_P(Iommufd, IommufdTest,
                         ::testing::Values(Api::kIommufd));

TEST_P(IommufdTest, BindHasTheOldSizeUnlessATokenGoesWithIt) {
  MakeVirtual();
  ASSERT_TRUE(Open(vf_, kToken).ok());
  EXPECT_EQ(kernel_.CountOf("BIND 24 1"), 1);
  ASSERT_TRUE(Open(sibling_).ok());
  EXPECT_EQ(kernel_.CountOf("BIND 16 0"), 1);
}

TEST_P(IommufdTest, KernelsThatTakeNoTokenAreNamed) {
  MakeVirtual();
  kernel_.Fail(kBindIommufd, E2BIG);
  EXPECT_THAT(Refusal(vf_, kToken), HasSubstr("6.17 to 6.18.2"));
  kernel_.Fail(kBindIommufd, EINVAL);
  EXPECT_THAT(Refusal(vf_, kToken), HasSubstr("leave iommufd out"));
}

TEST_P(IommufdTest, InterfaceHasItsOwnSwitchForUnsafeInterrupts) {
  kernel_.Fail(kBindIommufd, EPERM);
  EXPECT_THAT(
      Refusal(vf_),
      HasSubstr("/sys/module/iommufd/parameters/allow_unsafe_interrupts"));
  DeviceFacts facts = kernel_.FactsOf(vf_);
  facts.members = {{.bdf = sibling_.bdf, .driver = "vfio-pci"}};
  kernel_.Fail(kBindIommufd, EPERM);
  const auto handle = space_->Open(facts, {});
  EXPECT_THAT(std::string(handle.status().message()),
              HasSubstr("group 7 belongs to somebody else"));
}

// The kernel says EINVAL of a device that is open by its own file, and EBUSY of
// one that is open by its group's.
TEST_P(IommufdTest, WhoHasTheDeviceIsNamed) {
  const std::string proc =
      ::testing::TempDir() + "/proc-" + std::to_string(::getpid());
  const auto held = [&](const std::string& file, int error) {
    std::filesystem::create_directories(proc + "/4711/fd");
    std::ofstream(proc + "/4711/comm") << "qemu\n";
    std::filesystem::create_symlink(file, proc + "/4711/fd/9");
    const auto space = MakeIommufd(
        {.calls = kernel_, .paths = {.proc = proc}, .kvm = &kernel_});
    kernel_.Fail(kBindIommufd, error);
    const auto handle = space->Open(kernel_.FactsOf(vf_), {});
    EXPECT_EQ(ExitStatusFor(handle.status()), 71);
    std::filesystem::remove_all(proc);
    return std::string(handle.status().message());
  };
  const std::string device = "/dev/vfio/devices/" + vf_.cdev;
  EXPECT_THAT(held(device, EINVAL),
              HasSubstr(device + " is held by process 4711 (qemu)"));
  EXPECT_THAT(held("/dev/vfio/7", EBUSY),
              HasSubstr("/dev/vfio/7 is held by process 4711 (qemu)"));
  EXPECT_THAT(held("/dev/null", EINVAL), HasSubstr("cannot be used"));
}

TEST_P(IommufdTest, FreshTokenIsSetAfterwardsWhereBindTakesNone) {
  MakeVirtual();
  const Token fresh = *Token::Random();
  kernel_.Fail(kBindIommufd, EINVAL);
  const auto handle = space_->Open(kernel_.FactsOf(pf_),
                                   TokenDecision{.send = fresh, .fresh = true});
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(pf_.token, fresh.bytes());
  EXPECT_EQ(kernel_.CountOf("SET_TOKEN"), 1);
}

TEST_P(IommufdTest, KvmForgetsTheDeviceBeforeItIsClosed) {
  ASSERT_TRUE(Open(vf_).ok());
  EXPECT_EQ(kernel_.CountOf("KVM_DEL device"), 1);
}

}  // namespace
}  // namespace kvmlet::vfio
