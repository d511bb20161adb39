// SPDX-License-Identifier: Apache-2.0
// Any sequence of accesses to the small fixed devices: nothing may crash, and
// the clock always tells a date that exists.
#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "devices/platform/acpi_ged.h"
#include "devices/platform/cmos_rtc.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/i8042.h"
#include "devices/platform/pci_hotplug.h"
#include "devices/platform/pvpanic.h"

namespace kvmlet {
namespace {

class SilentLine : public IrqLine {
 public:
  void Set(bool) override {}
};

constexpr uint32_t kSlots = 0x80000030;

class SilentRequests : public GuestRequests {
 public:
  void PowerOff(Door) override {}
  void Reset(Door) override {}
  void Exit(Door, uint64_t, std::string) override {}
  void Panic(Door, bool) override {}
  void EjectPci(uint32_t slots) override {
    CHECK(slots != 0 && (slots & ~kSlots) == 0) << slots;
  }
};

uint64_t Read(IoDevice& device, uint64_t offset, size_t width) {
  std::array<std::byte, 8> bytes{};
  device.Read(offset, std::span(bytes).first(width));
  return LoadLe(bytes);
}

void Write(IoDevice& device, uint64_t offset, size_t width, uint64_t value) {
  std::array<std::byte, 8> bytes;
  StoreLe(value, bytes);
  device.Write(offset, std::span(bytes).first(width));
}

void CheckDate(CmosRtc& rtc) {
  const auto get = [&rtc](uint64_t index) {
    Write(rtc, 0, 1, index);
    return Read(rtc, 1, 1);
  };
  // Running, in binary and 24 hours.
  Write(rtc, 0, 2, 0x260a);
  Write(rtc, 0, 2, 0x060b);
  CHECK_LT(get(0), 60u);
  CHECK_LT(get(2), 60u);
  CHECK_LT(get(4), 24u);
  CHECK(get(7) >= 1 && get(7) <= 31);
  CHECK(get(8) >= 1 && get(8) <= 12);
}

// Each access takes six bytes: device and width, offset, four of the value.
void Run(std::span<const uint8_t> input) {
  std::chrono::nanoseconds now = std::chrono::seconds(1740924309);
  SilentRequests requests;
  AcpiGed ged(std::make_unique<SilentLine>(), requests);
  CmosRtc rtc([&now] { return now; });
  ExitDevice exit_device(requests);
  I8042 i8042(requests);
  Pvpanic pvpanic(requests);
  PciHotplug hotplug(requests);
  hotplug.SetSlots(kSlots);
  const std::array<IoDevice*, 6> devices = {&ged,   &rtc,     &exit_device,
                                            &i8042, &pvpanic, &hotplug};
  constexpr size_t kWidths[] = {1, 2, 4, 8};
  for (; input.size() >= 6; input = input.subspan(6)) {
    IoDevice& device = *devices[(input[0] & 7u) % devices.size()];
    const size_t width = kWidths[input[0] >> 3 & 3u];
    const uint64_t value = LoadLe(std::as_bytes(input.subspan(2, 4)));
    now += std::chrono::nanoseconds(value);
    if ((input[0] & 0x80) != 0) {
      Read(device, input[1], width);
    } else {
      Write(device, input[1], width, value | value << 32);
    }
  }
  CheckDate(rtc);
}

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FLAGS_minloglevel = google::GLOG_ERROR;
  kvmlet::Run({data, size});
  return 0;
}
