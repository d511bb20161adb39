// SPDX-License-Identifier: Apache-2.0
// The PC's clock, an MC146818 with battery-backed memory, at an index and a
// data port: UTC from the host's clock plus what the guest has set it to. It
// never interrupts (no alarm, no periodic rate), and is described without an
// interrupt. Thread-safe. Motorola MC146818 data sheet; the century is in
// register 0x32, as the FADT says.
#ifndef KVMLET_DEVICES_PLATFORM_CMOS_RTC_H_
#define KVMLET_DEVICES_PLATFORM_CMOS_RTC_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "vmm/bus/io_device.h"

namespace kvmlet {

class CmosRtc : public IoDevice {
 public:
  static constexpr uint64_t kSize = 2;
  static constexpr uint8_t kCenturyRegister = 0x32;

  // Nanoseconds since 1970, UTC.
  using Clock = std::function<std::chrono::nanoseconds()>;

  // Runs on the host's real-time clock.
  CmosRtc();
  explicit CmosRtc(Clock clock) : clock_(std::move(clock)) {}

  // The reset pin: the time and the memory survive.
  void Reset();

  std::string_view name() const override { return "cmos-rtc"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  static constexpr size_t kRegisters = 128;
  using Registers = std::array<uint8_t, kRegisters>;

  // All of these hold mutex_.
  uint8_t ReadRegister();
  void WriteRegister(uint8_t value);
  void WriteControl(uint8_t value);  // register A or B
  bool DividerInReset() const;
  bool Halted() const;
  std::chrono::nanoseconds Now() const;
  bool UpdateInProgress() const;
  // Between the time and its registers, in the format that register B tells.
  void StoreTime(std::chrono::nanoseconds time);
  std::chrono::seconds LoadTime() const;
  void SetTimeFromRegisters(std::chrono::nanoseconds into_second);

  const Clock clock_;
  std::mutex mutex_;
  uint8_t index_ = 0;                  // guarded by mutex_
  Registers registers_ = PowerOn();    // guarded by mutex_
  std::chrono::nanoseconds offset_{};  // guest minus host; guarded by mutex_

  static Registers PowerOn();
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_CMOS_RTC_H_
