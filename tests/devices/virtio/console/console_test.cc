// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/devices/virtio/console/console_fixture.h"

namespace kvmlet::virtio {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST_F(ConsoleTest, ConfigurationSaysHowManyPorts) {
  std::array<std::byte, 12> config{};
  device_->ReadConfig(0, config);
  EXPECT_EQ(config[4], std::byte{2});
  std::array<std::byte, 16> beyond{};
  device_->ReadConfig(8, beyond);
  EXPECT_EQ(beyond, (std::array<std::byte, 16>{}));
  EXPECT_EQ(device_->queue_sizes().size(), 6u);
  EXPECT_EQ(device_->device_features(), kMultiport);
}

TEST_F(ConsoleTest, AnnouncesItsPortsToAReadyDriver) {
  Activate();
  OfferControlBuffers(8);
  SendControl({0, kDeviceReady, 1});
  EXPECT_THAT(TakeControl(), ElementsAre(Pair(Message{0, kDeviceAdd, 1}, ""),
                                         Pair(Message{1, kDeviceAdd, 1}, "")));
}

TEST_F(ConsoleTest, AReadyConsolePortIsOpened) {
  Activate();
  OfferControlBuffers(8);
  SendControl({0, kPortReady, 1});
  EXPECT_THAT(TakeControl(), ElementsAre(Pair(Message{0, kConsolePort, 1}, ""),
                                         Pair(Message{0, kPortOpen, 1}, "")));
}

TEST_F(ConsoleTest, AReadyNamedPortHearsItsName) {
  Activate();
  OfferControlBuffers(8);
  SendControl({1, kPortReady, 1});
  EXPECT_THAT(TakeControl(),
              ElementsAre(Pair(Message{1, kPortName, 1}, "kvmlet.test"),
                          Pair(Message{1, kPortOpen, 1}, "")));
}

TEST_F(ConsoleTest, ControlMessagesWaitForBuffers) {
  Activate();
  SendControl({0, kDeviceReady, 1});
  EXPECT_THAT(TakeControl(), IsEmpty());
  OfferControlBuffers(8);
  Kick(kControlIn);
  EXPECT_EQ(TakeControl().size(), 2u);
}

TEST_F(ConsoleTest, OutputGoesToEachPortsBackend) {
  Activate();
  Handshake();
  driver(kOut0).ReadableText("to the ").ReadableText("terminal").Submit();
  driver(kOut1).ReadableText("7 done\n").Submit();
  Kick(kOut0);
  Kick(kOut1);
  EXPECT_EQ(backend_.output(), "to the terminal");
  EXPECT_EQ(port_output_, "7 done\n");
  EXPECT_EQ(driver(kOut0).PopUsed()->len, 0u);
  EXPECT_GE(notifications_, 2);
}

TEST_F(ConsoleTest, LongOutputOfOneChainArrivesWhole) {
  Activate();
  const std::string text(10'000, 'x');
  driver(kOut0).ReadableText(text).Submit();
  Kick(kOut0);
  EXPECT_EQ(backend_.output(), text);
}

TEST_F(ConsoleTest, InputFillsTheGuestsBuffers) {
  Activate();
  Handshake();
  const auto first = driver(kIn0).Writable(4).Submit();
  const auto second = driver(kIn0).Writable(16).Submit();
  EXPECT_EQ(backend_.Type("typing"), 6u);
  Turn();
  EXPECT_EQ(driver(kIn0).PopUsed()->len, 4u);
  EXPECT_EQ(driver(kIn0).PopUsed()->len, 2u);
  EXPECT_EQ(first.WrittenText(4) + second.WrittenText(2), "typing");
}

TEST_F(ConsoleTest, InputWaitsForBuffers) {
  Activate();
  Handshake();
  backend_.Type("early");
  Turn();
  const auto request = driver(kIn0).Writable(16).Submit();
  Kick(kIn0);
  EXPECT_EQ(request.WrittenText(5), "early");
}

TEST_F(ConsoleTest, InputWaitsForAReadyPort) {
  Activate();
  OfferControlBuffers(16);
  const auto request = driver(kIn0).Writable(16).Submit();
  backend_.Type("early");
  Kick(kIn0);
  EXPECT_EQ(driver(kIn0).used_index(), 0);
  SendControl({0, kPortReady, 1});
  EXPECT_EQ(request.WrittenText(5), "early");
}

TEST_F(ConsoleTest, AFullPortTakesNoMoreUntilItIsRead) {
  Activate();
  Handshake();
  EXPECT_EQ(backend_.Type(std::string(5000, 'x')), 4096u);
  EXPECT_EQ(backend_.Type("y"), 0u);
  Turn();
  EXPECT_EQ(backend_.ready_calls, 0);
  driver(kIn0).Writable(100).Submit();
  Kick(kIn0);
  EXPECT_EQ(backend_.ready_calls, 1);
  EXPECT_EQ(backend_.Type(std::string(200, 'z')), 100u);
}

TEST_F(ConsoleTest, WithoutMultiportThereIsJustTheConsole) {
  Activate(kFeatureVersion1);
  const auto request = driver(kIn0).Writable(16).Submit();
  driver(kOut0).ReadableText("plain").Submit();
  backend_.Type("in");
  Kick(kOut0);
  EXPECT_EQ(backend_.output(), "plain");
  EXPECT_EQ(request.WrittenText(2), "in");
  EXPECT_EQ(driver(kControlIn).used_index(), 0);
}

TEST_F(ConsoleTest, PortZeroIsReservedWhenThereIsNoConsole) {
  std::vector<ConsoleDevice::Port> ports(2);
  ports[1].name = "only";
  device_ = ConsoleDevice::Create(std::move(ports), *loop_);
  Activate();
  OfferControlBuffers(8);
  SendControl({0, kDeviceReady, 1});
  EXPECT_THAT(TakeControl(), ElementsAre(Pair(Message{1, kDeviceAdd, 1}, "")));
  driver(kOut0).ReadableText("nowhere").Submit();
  Kick(kOut0);
  EXPECT_EQ(driver(kOut0).used_index(), 1);
}

TEST_F(ConsoleTest, ResetForgetsThePortsAndTheMessages) {
  Activate();
  SendControl({0, kPortReady, 1});
  SendControl({0, kDeviceReady, 1});
  device_->Reset();
  NewDriver();
  Activate();
  OfferControlBuffers(8);
  driver(kIn0).Writable(16).Submit();
  backend_.Type("x");
  Kick(kControlIn);
  Kick(kIn0);
  EXPECT_THAT(TakeControl(), IsEmpty());
  EXPECT_EQ(driver(kIn0).used_index(), 0);
}

TEST_F(ConsoleTest, InputTypedAcrossAResetIsKept) {
  Activate();
  Handshake();
  backend_.Type("kept");
  device_->Reset();
  NewDriver();
  Activate();
  const auto request = driver(kIn0).Writable(16).Submit();
  Handshake();
  EXPECT_EQ(request.WrittenText(4), "kept");
}

TEST_F(ConsoleTest, ItLetsGoOfItsBackend) {
  EXPECT_TRUE(backend_.connected());
  device_.reset();
  EXPECT_FALSE(backend_.connected());
}

}  // namespace
}  // namespace kvmlet::virtio
