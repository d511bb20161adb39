// SPDX-License-Identifier: Apache-2.0
#include "devices/platform/acpi_ged.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace kvmlet {
namespace {

// Table 4-21 "Sleep Control Register".
constexpr uint8_t kSleepEnable = 1 << 5;
constexpr unsigned kSleepTypeShift = 2;
constexpr uint8_t kSleepTypeMask = 7;

}  // namespace

AcpiGed::AcpiGed(std::unique_ptr<IrqLine> interrupt, GuestRequests& requests)
    : interrupt_(std::move(interrupt)), requests_(requests) {}

void AcpiGed::Raise(uint32_t events) {
  events_.fetch_or(events);
  interrupt_->Set(true);
}

uint32_t AcpiGed::TakeEvents() {
  const uint32_t events = events_.exchange(0);
  interrupt_->Set(false);
  // An event raised between the two lines has just lost its interrupt. One
  // raised after this check asserts the line itself; at worst the guest takes
  // an interrupt more and finds no event.
  if (events_.load() != 0) interrupt_->Set(true);
  return events;
}

void AcpiGed::Reset() { TakeEvents(); }

void AcpiGed::Read(uint64_t offset, std::span<std::byte> data) {
  // Only the whole selector is read, so that no access takes half of it.
  // Nothing else has anything to tell: the machine never wakes from a sleep.
  const bool whole = offset == kEventSelector && data.size() == 4;
  StoreLe(whole ? TakeEvents() : 0, data);
}

void AcpiGed::Write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return;
  const auto value = static_cast<uint8_t>(data[0]);
  if (offset == kSleepControl) {
    Sleep(value);
  } else if (offset == kReset && value == kResetValue) {
    requests_.Reset(Door::kAcpiReset);
  }
}

void AcpiGed::Sleep(uint8_t control) {
  if ((control & kSleepEnable) == 0) return;
  const int type = control >> kSleepTypeShift & kSleepTypeMask;
  if (type == kSleepTypeS5) {
    requests_.PowerOff(Door::kAcpiSleep);
  } else {
    log_.Warn(
        absl::StrFormat("the guest asked for sleep type %d; only %d "
                        "(S5, power off) exists",
                        type, kSleepTypeS5));
  }
}

}  // namespace kvmlet
