// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/hot_reset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cerrno>

#include "devices/vfio/host_device.h"
#include "tests/fakes/fake_vfio.h"

namespace kvmlet::vfio {
namespace {

using ::testing::HasSubstr;

enum class Api { kContainer, kIommufd };

// A card of two functions, in groups of their own or in one, that can be reset
// together only.
class HotResetTest : public ::testing::TestWithParam<Api> {
 protected:
  HotResetTest() {
    const AddressSpace::Context context{
        .calls = kernel_, .paths = {}, .kvm = &kernel_};
    space_ = GetParam() == Api::kContainer ? MakeContainer(context)
                                           : MakeIommufd(context);
    first_.can_reset = second_.can_reset = false;
  }
  std::unique_ptr<HostDevice> Open(const fakes::FakeDevice& device) {
    auto handle = space_->Open(kernel_.FactsOf(device), {});
    EXPECT_TRUE(handle.ok()) << handle.status();
    return *HostDevice::Create(kernel_, *std::move(handle), device.bdf);
  }

  fakes::FakeVfio kernel_;
  fakes::FakeDevice& first_ = kernel_.AddNetwork("0000:03:00.0", 7);
  fakes::FakeDevice& second_ = kernel_.AddNetwork("0000:03:00.1", 8);
  fakes::FakeDevice& elsewhere_ = kernel_.AddNetwork("0000:04:00.0", 9);
  std::unique_ptr<AddressSpace> space_;
};

TEST_P(HotResetTest, TakesAllFunctionsOfTheSlotAndNoOther) {
  const auto third = Open(elsewhere_);
  const auto first = Open(first_);
  const auto second = Open(second_);
  const absl::Status status = first->Reset();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(first_.hot_resets, 1);
  EXPECT_EQ(second_.hot_resets, 1);
  EXPECT_EQ(elsewhere_.hot_resets, 0);
  EXPECT_EQ(first_.resets, 0);
}

TEST_P(HotResetTest, FunctionThatCanBeResetAloneIs) {
  first_.can_reset = true;
  const auto first = Open(first_);
  ASSERT_TRUE(first->Reset().ok());
  first->ResetAtOpen();
  EXPECT_EQ(first_.resets, 1) << "the kernel has done it when it was opened";
  EXPECT_EQ(first_.hot_resets, 0);
}

TEST_P(HotResetTest, FunctionOfSomebodyElseIsNamed) {
  kernel_.slots_owned = false;
  const auto first = Open(first_);
  const absl::Status status = first->Reset();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("0000:03:00.0: it can be reset only together with "
                        "0000:03:00.1: bind"));
  EXPECT_EQ(first_.hot_resets, 0);
  first->ResetAtOpen();
  EXPECT_EQ(second_.hot_resets, 0);
}

TEST_P(HotResetTest, DeviceThatComesLaterDoesNotDisturbItsSibling) {
  second_.group = 7;
  const auto first = Open(first_);
  first->ResetAtOpen();
  EXPECT_EQ(first_.hot_resets, 1) << "nobody uses the other one";
  auto second = Open(second_);
  second->ResetAtOpen();
  EXPECT_EQ(first_.hot_resets, 1);
  // Nobody uses it any more.
  second.reset();
  first->ResetAtOpen();
  EXPECT_EQ(first_.hot_resets, 2);
}

TEST_P(HotResetTest, HostWithoutAnyWayIsSaidSo) {
  const auto first = Open(first_);
  const auto second = Open(second_);
  // After they are open: the numbers are those of a container's requests, too.
  kernel_.Fail(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, ENODEV);
  const absl::Status none = first->Reset();
  EXPECT_THAT(std::string(none.message()), HasSubstr("no way to reset"));
  kernel_.Fail(VFIO_DEVICE_PCI_HOT_RESET, EAGAIN);
  const absl::Status busy = first->Reset();
  EXPECT_THAT(std::string(busy.message()), HasSubstr("reset of its slot"));
}

INSTANTIATE_TEST_SUITE_P(Both, HotResetTest,
                         ::testing::Values(Api::kContainer, Api::kIommufd),
                         [](const auto& api) {
                           return api.param == Api::kContainer ? "Container"
                                                               : "Iommufd";
                         });

}  // namespace
}  // namespace kvmlet::vfio
