// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/common_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "vmm/bus/io_device.h"

namespace kvmlet::virtio {
namespace {

using Action = CommonConfig::Action;

constexpr uint64_t kOffered = kFeatureVersion1 | kFeatureEventIdx | 0x10;
constexpr uint64_t kDeviceFeatureSelect = 0;
constexpr uint64_t kDeviceFeature = 4;
constexpr uint64_t kDriverFeatureSelect = 8;
constexpr uint64_t kDriverFeature = 12;
constexpr uint64_t kConfigVector = 16;
constexpr uint64_t kNumQueues = 18;
constexpr uint64_t kStatus = 20;
constexpr uint64_t kGeneration = 21;
constexpr uint64_t kQueueSelect = 22;
constexpr uint64_t kQueueSize = 24;
constexpr uint64_t kQueueVector = 26;
constexpr uint64_t kQueueEnable = 28;
constexpr uint64_t kQueueDesc = 32;
constexpr uint64_t kQueueDevice = 48;

class CommonConfigTest : public ::testing::Test {
 protected:
  Action Write(uint64_t offset, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    return config_.Write(offset, std::span(bytes).first(width));
  }
  uint64_t Read(uint64_t offset, size_t width) const {
    std::array<std::byte, 8> bytes{};
    config_.Read(offset, std::span(bytes).first(width));
    return LoadLe(bytes);
  }
  void WriteFeatures(uint64_t features) {
    for (uint32_t half = 0; half < 2; ++half) {
      Write(kDriverFeatureSelect, 4, half);
      Write(kDriverFeature, 4, (features >> (32 * half)) & 0xffffffff);
    }
  }
  void Negotiate() {
    WriteFeatures(kFeatureVersion1);
    Write(kStatus, 1, kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk);
  }

  LogLimiter log_{"test"};
  const std::array<uint16_t, 2> sizes_{64, 16};
  CommonConfig config_{kOffered, sizes_, /*vectors=*/3, log_};
};

TEST_F(CommonConfigTest, ADriverMustAcceptWhatTheDeviceRequires) {
  CommonConfig strict(kOffered, sizes_, /*vectors=*/3, log_,
                      /*required=*/0x10);
  const auto write = [&strict](uint64_t offset, size_t width, uint64_t value) {
    std::array<std::byte, 8> bytes{};
    StoreLe(value, bytes);
    strict.Write(offset, std::span(bytes).first(width));
  };
  const auto negotiate = [&](uint64_t low) {
    strict.Reset();
    write(kDriverFeatureSelect, 4, 1);
    write(kDriverFeature, 4, kFeatureVersion1 >> 32);
    write(kDriverFeatureSelect, 4, 0);
    write(kDriverFeature, 4, low);
    write(kStatus, 1, kStatusFeaturesOk);
    std::array<std::byte, 1> status{};
    strict.Read(kStatus, status);
    return LoadLe(status) == kStatusFeaturesOk;
  };
  EXPECT_FALSE(negotiate(0));
  EXPECT_TRUE(negotiate(0x10));
}

TEST_F(CommonConfigTest, ShowsOfferedFeaturesByHalves) {
  EXPECT_EQ(Read(kDeviceFeature, 4), kOffered & 0xffffffff);
  Write(kDeviceFeatureSelect, 4, 1);
  EXPECT_EQ(Read(kDeviceFeature, 4), kOffered >> 32);
}

TEST_F(CommonConfigTest, FeaturesBeyondSixtyFourBitsAreZero) {
  Write(kDeviceFeatureSelect, 4, 2);
  EXPECT_EQ(Read(kDeviceFeature, 4), 0u);
  Write(kDriverFeatureSelect, 4, 0xffffffff);
  Write(kDriverFeature, 4, 0xffffffff);
  EXPECT_EQ(config_.driver_features(), 0u);
}

TEST_F(CommonConfigTest, AcceptsASubsetOfTheFeatures) {
  Negotiate();
  EXPECT_EQ(Read(kStatus, 1),
            kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk);
}

// 2.2.2: "The device SHOULD accept any valid subset of features", and refuses
// others by leaving FEATURES_OK clear (3.1.1 step 6).
TEST_F(CommonConfigTest, RefusesAFeatureThatWasNotOffered) {
  WriteFeatures(kFeatureVersion1 | 0x20);
  Write(kStatus, 1, kStatusDriver | kStatusFeaturesOk);
  EXPECT_EQ(Read(kStatus, 1), kStatusDriver);
}

// 6.2: without VERSION_1 the driver is a legacy one.
TEST_F(CommonConfigTest, RefusesADriverWithoutVersion1) {
  WriteFeatures(0x10);
  Write(kStatus, 1, kStatusDriver | kStatusFeaturesOk);
  EXPECT_EQ(Read(kStatus, 1), kStatusDriver);
}

TEST_F(CommonConfigTest, FeaturesAreFixedAfterFeaturesOk) {
  Negotiate();
  WriteFeatures(kOffered);
  EXPECT_EQ(config_.driver_features(), kFeatureVersion1);
}

TEST_F(CommonConfigTest, DriverOkStartsOnce) {
  Negotiate();
  EXPECT_EQ(Write(kStatus, 1, 15), Action::kStart);
  EXPECT_EQ(Write(kStatus, 1, 15), Action::kNone);
}

TEST_F(CommonConfigTest, DriverOkWithoutFeaturesOkIsIgnored) {
  EXPECT_EQ(Write(kStatus, 1, kStatusDriver | kStatusDriverOk), Action::kNone);
  EXPECT_FALSE(config_.driver_ok());
}

TEST_F(CommonConfigTest, DriverOkTogetherWithRefusedFeaturesIsIgnored) {
  WriteFeatures(0x20);
  EXPECT_EQ(Write(kStatus, 1, 15), Action::kNone);
  EXPECT_FALSE(config_.driver_ok());
}

// 2.1.1: "The driver MUST NOT clear a device status bit."
TEST_F(CommonConfigTest, StatusBitsCannotBeCleared) {
  Negotiate();
  Write(kStatus, 1, kStatusAcknowledge);
  EXPECT_EQ(Read(kStatus, 1), 11u);
}

TEST_F(CommonConfigTest, DriverCannotSetNeedsReset) {
  Write(kStatus, 1, kStatusNeedsReset | kStatusAcknowledge);
  EXPECT_EQ(Read(kStatus, 1), kStatusAcknowledge);
}

TEST_F(CommonConfigTest, WritingZeroAsksForAReset) {
  Negotiate();
  EXPECT_EQ(Write(kStatus, 1, 0), Action::kReset);
}

TEST_F(CommonConfigTest, ResetForgetsEverything) {
  Negotiate();
  Write(kQueueSelect, 2, 1);
  Write(kQueueSize, 2, 4);
  Write(kQueueVector, 2, 1);
  Write(kQueueEnable, 2, 1);
  Write(kQueueDesc, 8, 0x1000);
  Write(kConfigVector, 2, 0);

  config_.Reset();

  EXPECT_EQ(Read(kStatus, 1), 0u);
  EXPECT_EQ(config_.driver_features(), 0u);
  EXPECT_EQ(Read(kQueueSelect, 2), 0u);
  Write(kQueueSelect, 2, 1);
  EXPECT_EQ(Read(kQueueSize, 2), 16u);
  EXPECT_EQ(Read(kQueueVector, 2), kNoVector);
  EXPECT_EQ(Read(kQueueEnable, 2), 0u);
  EXPECT_EQ(Read(kQueueDesc, 8), 0u);
  EXPECT_EQ(Read(kConfigVector, 2), kNoVector);
}

TEST_F(CommonConfigTest, QueueAddressesAreWrittenInHalves) {
  Write(kQueueDevice, 4, 0x89abcdef);
  Write(kQueueDevice + 4, 4, 0x01234567);
  EXPECT_EQ(config_.queues()[0].device.value, 0x0123456789abcdefu);
}

TEST_F(CommonConfigTest, SmallerQueueSizeIsTaken) {
  Write(kQueueSize, 2, 32);
  EXPECT_EQ(config_.queues()[0].size, 32);
}

TEST_F(CommonConfigTest, OddOrGreaterQueueSizesAreRefused) {
  for (const uint64_t size : {0u, 3u, 65u, 128u, 0xffffu}) {
    Write(kQueueSize, 2, size);
    EXPECT_EQ(config_.queues()[0].size, 64) << size;
  }
}

// 4.1.4.3.1: queue_size reads 0 "if the virtqueue is not available".
TEST_F(CommonConfigTest, AMissingQueueHasSizeZeroAndIgnoresWrites) {
  Write(kQueueSelect, 2, 2);
  EXPECT_EQ(Read(kQueueSize, 2), 0u);
  Write(kQueueSize, 2, 8);
  Write(kQueueEnable, 2, 1);
  Write(kQueueVector, 2, 1);
  Write(kQueueDesc, 8, 1);
  EXPECT_EQ(Read(kQueueEnable, 2), 0u);
  Write(kQueueSelect, 2, 0xffff);
  EXPECT_EQ(Read(kQueueVector, 2), kNoVector);
}

// 4.1.5.1.2.2: a vector that cannot be had reads back as NO_VECTOR.
TEST_F(CommonConfigTest, VectorsBeyondTheTableBecomeNoVector) {
  Write(kConfigVector, 2, 2);
  EXPECT_EQ(Read(kConfigVector, 2), 2u);
  Write(kConfigVector, 2, 3);
  EXPECT_EQ(Read(kConfigVector, 2), kNoVector);
  Write(kQueueVector, 2, 0x1234);
  EXPECT_EQ(Read(kQueueVector, 2), kNoVector);
}

// 4.1.4.3.2: "The driver MUST NOT write a 0 to queue_enable."
TEST_F(CommonConfigTest, QueueEnableTakesOnlyOne) {
  Write(kQueueEnable, 2, 2);
  EXPECT_FALSE(config_.queues()[0].enabled);
  Write(kQueueEnable, 2, 1);
  Write(kQueueEnable, 2, 0);
  EXPECT_TRUE(config_.queues()[0].enabled);
}

TEST_F(CommonConfigTest, QueuesAreFixedAfterDriverOk) {
  Negotiate();
  Write(kQueueDesc, 8, 0x1000);
  Write(kStatus, 1, 15);
  Write(kQueueDesc, 8, 0x2000);
  Write(kQueueSize, 2, 2);
  Write(kQueueEnable, 2, 1);
  EXPECT_EQ(config_.queues()[0].desc.value, 0x1000u);
  EXPECT_EQ(config_.queues()[0].size, 64);
  EXPECT_FALSE(config_.queues()[0].enabled);
}

TEST_F(CommonConfigTest, WritesOfTheWrongWidthAreIgnored) {
  Write(kStatus, 4, 1);
  Write(kQueueSize, 4, 8);
  Write(kQueueDesc, 2, 0xffff);
  Write(kQueueDesc + 2, 4, 0xffff);
  Write(kDeviceFeatureSelect, 8, 1);
  EXPECT_EQ(Read(kStatus, 1), 0u);
  EXPECT_EQ(Read(kQueueSize, 2), 64u);
  EXPECT_EQ(Read(kQueueDesc, 8), 0u);
}

TEST_F(CommonConfigTest, ReadOnlyFieldsStay) {
  Write(kNumQueues, 2, 9);
  Write(kGeneration, 1, 9);
  Write(kDeviceFeature, 4, 9);
  EXPECT_EQ(Read(kNumQueues, 2), 2u);
  EXPECT_EQ(Read(kGeneration, 1), 0u);
}

TEST_F(CommonConfigTest, AnyReadIsSafe) {
  for (uint64_t offset = 0; offset < 80; ++offset) {
    for (const size_t width : {1u, 2u, 3u, 4u, 5u, 8u}) Read(offset, width);
  }
  EXPECT_EQ(Read(kStatus + 0x1000, 8), 0u);
}

TEST_F(CommonConfigTest, NeedsResetIsToldOnceAndOnlyToARunningDriver) {
  EXPECT_FALSE(config_.SetNeedsReset());
  config_.Reset();
  Negotiate();
  Write(kStatus, 1, 15);
  EXPECT_TRUE(config_.SetNeedsReset());
  EXPECT_FALSE(config_.SetNeedsReset());
  EXPECT_EQ(Read(kStatus, 1), 15u | kStatusNeedsReset);
}

}  // namespace
}  // namespace kvmlet::virtio
