// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "devices/vfio/hand_over.h"
#include "tests/fakes/fake_vfio.h"
#include "tests/vmm/sriov/fake_host.h"
#include "vmm/base/exit_status.h"

namespace kvmlet::sriov {
namespace {

using ::testing::HasSubstr;

constexpr std::chrono::seconds kWait{5};

class BrokerTest : public ::testing::Test {
 protected:
  BrokerTest() {
    pf_.is_pf = true;
    pf_.irq_counts = {0, 0, 0, 1, 1};
    vf_.pf = &pf_;
    EXPECT_EQ(
        ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
  }
  ~BrokerTest() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  absl::StatusOr<std::unique_ptr<Broker>> Start(bool guest_pf = false) {
    return Broker::Create({.calls = kernel_,
                           .paths = host_.paths(),
                           .pf = FakeHost::kPf,
                           .vfs = 2,
                           .state_path = state_,
                           .guest_pf = guest_pf});
  }
  std::string State() { return host_.Read("state"); }

  FakeHost host_;
  fakes::FakeVfio kernel_;
  fakes::FakeDevice& pf_ = kernel_.AddDevice(FakeHost::kPf, 6);
  fakes::FakeDevice& vf_ = kernel_.AddNetwork("0000:01:10.0", 7);
  const std::string state_ = host_.root() + "/state";
  std::array<int, 2> ends_{};
};

TEST_F(BrokerTest, SetsATokenThatOnlyItsFileTells) {
  const auto broker = Start();
  ASSERT_TRUE(broker.ok()) << broker.status();
  const std::string text = State();
  ASSERT_EQ(text.size(), 37u);
  EXPECT_EQ(vfio::Token::Parse("", text.substr(0, 36))->bytes(), pf_.token);
  struct stat file {};
  ASSERT_EQ(::stat(state_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_EQ((*broker)->Describe(),
            "0000:01:00.0: 0=0000:01:10.0 1=0000:01:10.2");
}

TEST_F(BrokerTest, HandsADeviceOverAndChangesTheToken) {
  const auto broker = Start();
  ASSERT_TRUE(broker.ok()) << broker.status();
  const std::string before = State();
  (*broker)->Answer(ends_[0], "take 0");
  auto handed = vfio::ReceiveDevice(ends_[1], kWait);
  ASSERT_TRUE(handed.ok()) << handed.status();
  EXPECT_EQ(handed->bdf, "0000:01:10.0");
  EXPECT_EQ(handed->group, 7u);
  EXPECT_TRUE(handed->container.ok() && handed->device.ok());
  EXPECT_NE(State(), before);
  EXPECT_EQ(vfio::Token::Parse("", State().substr(0, 36))->bytes(), pf_.token);
}

TEST_F(BrokerTest, RefusalsReachTheClient) {
  const auto broker = Start();
  ASSERT_TRUE(broker.ok());
  for (const char* line : {"take 2", "take x", "take", "steal 0"}) {
    (*broker)->Answer(ends_[0], line);
    const auto handed = vfio::ReceiveDevice(ends_[1], kWait);
    EXPECT_FALSE(handed.ok()) << line;
  }
  (*broker)->Answer(ends_[0], "list");
  EXPECT_EQ(*vfio::ReceiveLine(ends_[1], kWait), (*broker)->Describe());
}

TEST_F(BrokerTest, StartsAgainWhileFunctionsAreInUse) {
  ASSERT_TRUE(Start().ok());
  pf_.users = 1;
  EXPECT_TRUE(Start().ok()) << "the kept token opens it";
  std::filesystem::remove(state_);
  const auto lost = Start();
  EXPECT_THAT(std::string(lost.status().message()),
              HasSubstr("virtual functions are in use"));
}

TEST_F(BrokerTest, LetsGoOfAFunctionThatAGuestDrives) {
  auto broker = Start(/*guest_pf=*/true);
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_LT((*broker)->request_fd(), 0);
  const std::string token = State();
  (*broker)->Answer(ends_[0], "take 0");
  EXPECT_TRUE(vfio::ReceiveDevice(ends_[1], kWait).ok());
  EXPECT_EQ(State(), token) << "nobody can tell the kernel another one";
  // A second start has nothing to open: the machine has the function.
  pf_.users = 1;
  const size_t asked = kernel_.log().size();
  broker = Start(/*guest_pf=*/true);
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_EQ(kernel_.log().size(), asked);
  EXPECT_EQ(State(), token);
}

TEST_F(BrokerTest, StateThatOthersReadIsRefused) {
  ASSERT_TRUE(Start().ok());
  ASSERT_EQ(::chmod(state_.c_str(), 0644), 0);
  EXPECT_THAT(std::string(Start().status().message()), HasSubstr("chmod 600"));
}

TEST_F(BrokerTest, WhatOthersPutThereIsNotWrittenTo) {
  const std::string trap = host_.root() + "/trap";
  std::ofstream(trap) << "";
  ASSERT_EQ(::symlink(trap.c_str(), (state_ + ".new").c_str()), 0);
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(std::filesystem::file_size(trap), 0u);
  EXPECT_EQ(State().size(), 37u);
}

TEST_F(BrokerTest, AnswersOfNoBrokerAreRefused) {
  for (const char* text : {"", "device", "device x 7", "device 0000:01:10.0 7",
                           "error no", "device 0000:01:10.0 seven"}) {
    ASSERT_TRUE(vfio::SendLine(ends_[0], text).ok());
    EXPECT_FALSE(vfio::ReceiveDevice(ends_[1], kWait).ok()) << text;
  }
  ::shutdown(ends_[0], SHUT_WR);
  EXPECT_EQ(ExitStatusFor(vfio::ReceiveDevice(ends_[1], kWait).status()), 71);
}

}  // namespace
}  // namespace kvmlet::sriov
