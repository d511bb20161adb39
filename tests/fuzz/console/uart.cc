// SPDX-License-Identifier: Apache-2.0
#include <glog/logging.h>

#include <array>
#include <string>

#include "devices/serial/uart_16550.h"
#include "tests/fakes/fake_char_backend.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fuzz/console/console.h"

namespace kvmlet::fuzz {

void FuzzUart(Input input) {
  fakes::FakeInterrupts interrupts;
  fakes::FakeCharBackend backend;
  Uart16550 uart(*interrupts.CreateLine(4), backend);
  size_t typed = 0;
  while (!input.empty()) {
    const auto step = input.Next<uint8_t>();
    const uint64_t offset = step & 7;
    const size_t width = std::min<size_t>(1u << (step >> 3 & 3), 8 - offset);
    std::array<std::byte, 8> data{};
    switch (step >> 5) {
      case 0:
      case 1:
      case 2:
        data = input.Next<std::array<std::byte, 8>>();
        uart.Write(offset, std::span(data).first(width));
        break;
      case 3:
      case 4:
        uart.Read(offset, std::span(data).first(width));
        break;
      case 5:
        typed += backend.Type("typed by the user");
        break;
      case 6:
        data[0] = std::byte{input.Next<uint8_t>()};
        uart.Write(offset, std::span(data).first(1));
        break;
      default:
        uart.Reset();
        break;
    }
  }
  // Whatever the guest did, input that it did not take is still there.
  uart.Reset();
  const std::array<std::byte, 1> enable{std::byte{1}};
  uart.Write(1, enable);
  size_t left = 0;
  std::array<std::byte, 1> status{};
  for (uart.Read(5, status); (status[0] & std::byte{1}) != std::byte{0};
       uart.Read(5, status)) {
    uart.Read(0, status);
    ++left;
  }
  CHECK_LE(left, typed);
  CHECK_LE(left, 16u);
}

}  // namespace kvmlet::fuzz
