// SPDX-License-Identifier: Apache-2.0
// A serial port with a fake backend and a counted interrupt line.
#ifndef KVMLET_TESTS_DEVICES_SERIAL_UART_FIXTURE_H_
#define KVMLET_TESTS_DEVICES_SERIAL_UART_FIXTURE_H_

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>

#include "devices/serial/uart_16550.h"
#include "tests/fakes/fake_char_backend.h"
#include "tests/fakes/fake_interrupts.h"

namespace kvmlet {

class UartTest : public testing::Test {
 protected:
  enum Offset : uint64_t { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };

  uint8_t In(uint64_t offset) {
    std::array<std::byte, 1> data{};
    uart_.Read(offset, data);
    return std::to_integer<uint8_t>(data[0]);
  }
  void Out(uint64_t offset, uint8_t value) {
    const std::array<std::byte, 1> data{std::byte{value}};
    uart_.Write(offset, data);
  }
  bool irq() { return interrupts_.line(0).asserted; }
  // What a guest's interrupt handler would read.
  std::string ReadAll() {
    std::string text;
    while ((In(kLsr) & 1) != 0) text.push_back(static_cast<char>(In(kData)));
    return text;
  }

  fakes::FakeInterrupts interrupts_;
  fakes::FakeCharBackend backend_;
  Uart16550 uart_{*interrupts_.CreateLine(4), backend_};
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_DEVICES_SERIAL_UART_FIXTURE_H_
