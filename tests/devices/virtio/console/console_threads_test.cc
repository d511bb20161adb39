// SPDX-License-Identifier: Apache-2.0
// The console on an I/O thread of its own, with input, output and resets from
// other threads at the same time.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/devices/virtio/console/console_fixture.h"
#include "vmm/event/io_thread.h"

namespace kvmlet::virtio {
namespace {

class ConsoleThreadsTest : public ConsoleTest {
 protected:
  ConsoleThreadsTest() {
    thread_->Enable();
    std::vector<ConsoleDevice::Port> ports(2);
    ports[0].console = true;
    ports[0].backend = &backend_;
    device_.reset();  // it lets go of the backend
    device_ = ConsoleDevice::Create(std::move(ports), thread_->loop());
  }
  // Before the fixture, which hears the device's notifications, is taken apart.
  void TearDown() override { device_.reset(); }

  std::unique_ptr<IoThread> thread_ = *IoThread::Create("console");
};

TEST_F(ConsoleThreadsTest, OutputArrivesWhole) {
  Activate();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string text = std::to_string(i) + "\n";
    driver(kOut0).ReadableText(text).Submit();
    kicks_[kOut0].Signal();
    all += text;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (backend_.output() != all && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_EQ(backend_.output(), all);
}

TEST_F(ConsoleThreadsTest, ResetsWhileInputComes) {
  Activate(kFeatureVersion1);
  std::atomic<bool> stop{false};
  std::thread typist([&] {
    while (!stop) backend_.Type("typing");
  });
  for (int i = 0; i < 50; ++i) {
    driver(kIn0).Writable(64).Submit();
    kicks_[kIn0].Signal();
    device_->Reset();
    NewDriver();
    Activate(kFeatureVersion1);
  }
  stop = true;
  typist.join();
  device_->Reset();
}

}  // namespace
}  // namespace kvmlet::virtio
