// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/cmos_rtc.h"

#include <algorithm>

namespace kvmlet {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// The data sheet's "Address Map" and "Registers".
enum Register : uint8_t {
  kSeconds = 0x00,
  kMinutes = 0x02,
  kHours = 0x04,
  kDayOfWeek = 0x06,  // 1 is Sunday
  kDayOfMonth = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kA = 0x0a,
  kB = 0x0b,
  kC = 0x0c,
  kD = 0x0d,
};

constexpr uint8_t kAUpdateInProgress = 1u << 7;
constexpr uint8_t kADividerReset = 6u << 4;  // both bits: it stands still
constexpr uint8_t kADividerRuns = 2u << 4;   // on a crystal of 32768 Hz
constexpr uint8_t kARate = 6;                // 1024 Hz, the PC's usual value
constexpr uint8_t kBSet = 1u << 7;
constexpr uint8_t kBInterrupts = 7u << 4;
constexpr uint8_t kBSquareWave = 1u << 3;
constexpr uint8_t kBBinary = 1u << 2;
constexpr uint8_t kB24Hours = 1u << 1;
constexpr uint8_t kDValid = 1u << 7;  // the battery is good
constexpr uint8_t kHoursPm = 1u << 7;
constexpr uint8_t kIndexMask = 0x7f;  // the top bit masks the NMI

// The update is announced this long before it happens.
constexpr nanoseconds kUpdateNotice = std::chrono::microseconds(244);
// The first update comes this long after the divider's reset ends.
constexpr nanoseconds kFirstUpdate = std::chrono::milliseconds(500);

constexpr bool IsTime(uint8_t index) {
  switch (index) {
    case kSeconds:
    case kMinutes:
    case kHours:
    case kDayOfWeek:
    case kDayOfMonth:
    case kMonth:
    case kYear:
    case CmosRtc::kCenturyRegister:
      return true;
    default:
      return false;
  }
}

uint8_t Encode(unsigned value, uint8_t control) {
  value %= 100;
  if ((control & kBBinary) != 0) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

// Any byte has a value, if a senseless one: a guest may write what it likes.
unsigned Decode(uint8_t raw, uint8_t control) {
  return (control & kBBinary) != 0 ? raw : (raw >> 4) * 10u + (raw & 0xf);
}

uint8_t EncodeHours(unsigned hours, uint8_t control) {
  if ((control & kB24Hours) != 0) return Encode(hours, control);
  const unsigned of_twelve = hours % 12 == 0 ? 12 : hours % 12;
  const uint8_t pm = hours >= 12 ? kHoursPm : 0;
  return Encode(of_twelve, control) | pm;
}

unsigned DecodeHours(uint8_t raw, uint8_t control) {
  if ((control & kB24Hours) != 0) return Decode(raw, control);
  const auto clock_face = static_cast<uint8_t>(raw & ~kHoursPm);
  const unsigned hours = Decode(clock_face, control) % 12;
  return (raw & kHoursPm) != 0 ? hours + 12 : hours;
}

nanoseconds HostTime() {
  return std::chrono::system_clock::now().time_since_epoch();
}

}  // namespace

CmosRtc::CmosRtc() : CmosRtc(HostTime) {}

CmosRtc::Registers CmosRtc::PowerOn() {
  Registers registers{};
  registers[kA] = kADividerRuns | kARate;
  registers[kB] = kB24Hours;
  registers[kD] = kDValid;
  return registers;
}

void CmosRtc::Reset() {
  const std::lock_guard lock(mutex_);
  index_ = 0;
  registers_[kB] &= static_cast<uint8_t>(~(kBInterrupts | kBSquareWave));
}

// Both ports may be reached by one access; each byte is one of them.
void CmosRtc::Read(uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    // The index port is write-only.
    data[i] = offset + i == 1 ? std::byte{ReadRegister()} : std::byte{0xff};
  }
}

void CmosRtc::Write(uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    const auto value = static_cast<uint8_t>(data[i]);
    if (offset + i == 0) index_ = value & kIndexMask;
    if (offset + i == 1) WriteRegister(value);
  }
}

uint8_t CmosRtc::ReadRegister() {
  if (index_ == kA && UpdateInProgress()) {
    return registers_[kA] | kAUpdateInProgress;
  }
  if (IsTime(index_) && !Halted()) StoreTime(Now());
  return registers_[index_];
}

void CmosRtc::WriteRegister(uint8_t value) {
  switch (index_) {
    case kA:
    case kB:
      WriteControl(value);
      return;
    case kC:
    case kD:
      return;  // read-only
    default:
      break;
  }
  const bool sets_time = IsTime(index_) && !Halted();
  if (sets_time) StoreTime(Now());
  registers_[index_] = value;
  if (sets_time) SetTimeFromRegisters(nanoseconds(0));
}

// Time stands still while SET is set or the divider is held in reset, so that
// the guest can write it; it goes on from what the registers say, in the format
// chosen by then.
void CmosRtc::WriteControl(uint8_t value) {
  const bool was_halted = Halted();
  const bool was_reset = DividerInReset();
  if (!was_halted) StoreTime(Now());
  registers_[index_] =
      index_ == kA ? value & static_cast<uint8_t>(~kAUpdateInProgress) : value;
  if (was_halted && !Halted()) {
    SetTimeFromRegisters(was_reset ? seconds(1) - kFirstUpdate
                                   : nanoseconds(0));
  }
}

bool CmosRtc::DividerInReset() const {
  return (registers_[kA] & kADividerReset) == kADividerReset;
}

bool CmosRtc::Halted() const {
  return (registers_[kB] & kBSet) != 0 || DividerInReset();
}

nanoseconds CmosRtc::Now() const { return clock_() + offset_; }

bool CmosRtc::UpdateInProgress() const {
  if (Halted()) return false;
  const nanoseconds now = Now();
  const nanoseconds into_second = now - std::chrono::floor<seconds>(now);
  return into_second >= seconds(1) - kUpdateNotice;
}

void CmosRtc::StoreTime(nanoseconds time) {
  const uint8_t control = registers_[kB];
  const std::chrono::sys_time<nanoseconds> point(time);
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<seconds>(point - day));
  const auto year = static_cast<unsigned>(std::max(int{date.year()}, 0));
  const auto count = [](auto duration) {
    return static_cast<unsigned>(duration.count());
  };
  registers_[kSeconds] = Encode(count(clock.seconds()), control);
  registers_[kMinutes] = Encode(count(clock.minutes()), control);
  registers_[kHours] = EncodeHours(count(clock.hours()), control);
  registers_[kDayOfWeek] =
      Encode(std::chrono::weekday(day).c_encoding() + 1, control);
  registers_[kDayOfMonth] = Encode(unsigned{date.day()}, control);
  registers_[kMonth] = Encode(unsigned{date.month()}, control);
  registers_[kYear] = Encode(year % 100, control);
  registers_[kCenturyRegister] = Encode(year / 100, control);
}

seconds CmosRtc::LoadTime() const {
  const uint8_t control = registers_[kB];
  const auto field = [&](uint8_t index) {
    return Decode(registers_[index], control);
  };
  // A senseless month is moved to the nearest real one; every other field may
  // have any value and carries over.
  const std::chrono::year year(
      static_cast<int>(field(kCenturyRegister) * 100 + field(kYear)));
  const std::chrono::month month(std::clamp(field(kMonth), 1u, 12u));
  const std::chrono::sys_days first(year / month / 1);
  const std::chrono::days day(static_cast<int>(field(kDayOfMonth)) - 1);
  return (first + day).time_since_epoch() +
         std::chrono::hours(DecodeHours(registers_[kHours], control)) +
         std::chrono::minutes(field(kMinutes)) + seconds(field(kSeconds));
}

void CmosRtc::SetTimeFromRegisters(nanoseconds into_second) {
  // Nanoseconds in 64 bits end in 2262 (and begin in 1677); the clock stops
  // there rather than overflow, with a margin for the host's own time.
  constexpr seconds kLimit = std::chrono::years(200);
  const seconds time = std::clamp(LoadTime(), -kLimit, kLimit);
  offset_ = time + into_second - clock_();
}

}  // namespace kvmlet
