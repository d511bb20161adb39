// SPDX-License-Identifier: Apache-2.0
// A PL031 real-time clock: seconds since 1970 from the host's clock plus what
// the guest has set it to. The match interrupt is not wired: its status bits
// work, and it is described without an interrupt. Thread-safe.
// Specification: Arm DDI 0224C, "PrimeCell Real Time Clock (PL031)", chapter 3.
#ifndef KVMLET_DEVICES_PLATFORM_PL031_H_
#define KVMLET_DEVICES_PLATFORM_PL031_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "vmm/bus/io_device.h"

namespace kvmlet {

class Pl031 : public IoDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;

  // Since 1970, UTC.
  using Clock = std::function<std::chrono::seconds()>;

  // Runs on the host's real-time clock.
  Pl031();
  explicit Pl031(Clock clock) : clock_(std::move(clock)) {}

  // The reset pin: the time survives.
  void Reset();

  std::string_view name() const override { return "pl031"; }
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  // All of these hold mutex_.
  uint32_t Now() const;
  void LatchMatch();
  uint32_t ReadRegister(uint64_t offset);

  const Clock clock_;
  std::mutex mutex_;
  uint32_t offset_ = 0;  // guest minus host, modulo 2^32; guarded by mutex_
  uint32_t load_ = 0;    // guarded by mutex_
  uint32_t match_ = 0;   // guarded by mutex_
  bool armed_ = false;   // a match was set and not reached; guarded by mutex_
  bool raw_ = false;     // guarded by mutex_
  bool mask_ = false;    // the interrupt is let through; guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_PLATFORM_PL031_H_
