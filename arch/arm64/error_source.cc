// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/error_source.h"

#include <array>

#include "arch/common/acpi_tables.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint16_t kSources = 2;
constexpr uint64_t kBlockSize = 0x400;
constexpr uint64_t kBlocks = 0x400;  // from the base on
constexpr uint64_t kAcks = kSources * sizeof(uint64_t);
static_assert(kBlocks + kSources * kBlockSize <= ErrorSources::kSize);
constexpr uint64_t kAcknowledged = 1;

constexpr GenericAddress EightBytes(Gpa at) {
  return {.bit_width = 64, .access_size = 4, .address = at.value};
}

// 18.3.2.9 "Hardware Error Notification".
constexpr uint8_t kNotifyByGpio = 7;  // a _HID of PNP0C33 hears of it
constexpr uint8_t kNotifyByAbort = 8;
struct [[gnu::packed]] Notification {
  uint8_t type = 0;
  uint8_t length = 28;
  uint16_t writable = 0;
  uint32_t poll = 0;
  uint32_t vector = 0;
  uint32_t thresholds[4] = {};
};
static_assert(sizeof(Notification) == 28);

struct [[gnu::packed]] GenericSource {
  uint16_t type = 10;  // GHESv2
  uint16_t id = 0;
  uint16_t related = 0xffff;
  uint8_t flags = 0;
  uint8_t enabled = 1;
  uint32_t records = 1;
  uint32_t sections = 1;
  uint32_t raw_length = kBlockSize;
  GenericAddress status{};
  Notification notification{};
  uint32_t status_length = kBlockSize;
  GenericAddress ack{};
  uint64_t ack_preserve = ~kAcknowledged;
  uint64_t ack_write = kAcknowledged;
};
static_assert(sizeof(GenericSource) == 92);

using Guid = std::array<uint8_t, 16>;

// 18.3.2.7.1 "Generic Error Data".
constexpr uint16_t kStatus = 1 | 1 << 4;  // uncorrectable; one entry
constexpr uint64_t kStatusSize = sizeof(uint32_t);
struct [[gnu::packed]] StatusHeader {
  uint32_t status = kStatus;
  uint32_t raw_offset = 0;
  uint32_t raw_length = 0;
  uint32_t data_length = 0;
  uint32_t severity = 0;  // recoverable
};
static_assert(sizeof(StatusHeader) == 20);

struct [[gnu::packed]] DataEntry {
  // UEFI, N.2.5 "Memory Error Section".
  Guid section{0x14, 0x11, 0xbc, 0xa5, 0x64, 0x6f, 0xde, 0x4e,
               0xb8, 0x63, 0x3e, 0x83, 0xed, 0x7c, 0x83, 0xb1};
  uint32_t severity = 0;
  uint16_t revision = 0x300;
  uint8_t validation = 0;
  uint8_t flags = 0;
  uint32_t length = 80;
  Guid fru{};
  uint8_t fru_text[20] = {};
  uint64_t timestamp = 0;  // counts when `validation` says so
};
static_assert(sizeof(DataEntry) == 72);

struct [[gnu::packed]] MemorySection {
  uint64_t validation = 1u << 1 | 1u << 2 | 1u << 14;  // address, mask, type
  uint64_t status = 0;
  uint64_t address = 0;
  uint64_t address_mask = ~uint64_t{0xfff};
  uint8_t place[40] = {};  // node, card, bank, row: nobody knows
  uint8_t type = 0;
  uint8_t extended = 0;
  uint16_t rank = 0;
  uint16_t card = 0;
  uint16_t module = 0;
};
static_assert(sizeof(MemorySection) == 80);

constexpr uint8_t kHestRevision = 1;

absl::Status NotThere() {
  return absl::UnavailableError("the guest's error records cannot be written");
}

}  // namespace

Gpa ErrorSources::AddressSlot(Source source) const {
  return base_ + static_cast<uint64_t>(source) * sizeof(uint64_t);
}

Gpa ErrorSources::AckSlot(Source source) const {
  return AddressSlot(source) + kAcks;
}

Gpa ErrorSources::Block(Source source) const {
  return base_ + kBlocks + static_cast<uint64_t>(source) * kBlockSize;
}

absl::Status ErrorSources::Reset() const {
  for (const Source source : {Source::kAbort, Source::kEvent}) {
    if (!memory_.Store(AddressSlot(source), Block(source).value) ||
        !memory_.Store(AckSlot(source), kAcknowledged)) {
      return NotThere();
    }
  }
  return absl::OkStatus();
}

Bytes ErrorSources::BuildHest() const {
  Bytes body;
  AppendObject(body, uint32_t{kSources});
  for (const Source source : {Source::kAbort, Source::kEvent}) {
    GenericSource entry{.id = static_cast<uint16_t>(source)};
    entry.status = EightBytes(AddressSlot(source));
    entry.notification.type =
        source == Source::kAbort ? kNotifyByAbort : kNotifyByGpio;
    entry.ack = EightBytes(AckSlot(source));
    AppendObject(body, entry);
  }
  return BuildTable("HEST", kHestRevision, body);
}

absl::StatusOr<bool> ErrorSources::Record(Source source, Gpa page) {
  const std::optional<uint64_t> ack = memory_.Load<uint64_t>(AckSlot(source));
  if (!ack) return NotThere();
  if ((*ack & kAcknowledged) == 0) return false;
  const Bytes block = BuildErrorBlock(page, ++records_);
  const Gpa at = Block(source);
  // First of all, so that the guest acknowledges this one; the status, which
  // makes it a record, when the rest is there: the guest may look at any time.
  if (!memory_.Store(AckSlot(source), uint64_t{0}) ||
      !memory_.Store(at, uint32_t{0}) ||
      !memory_.Write(at + kStatusSize, std::span(block).subspan(kStatusSize)) ||
      !memory_.StoreRelease16(at, kStatus)) {
    return NotThere();
  }
  return true;
}

absl::Status ErrorSources::Withdraw(Source source) const {
  if (memory_.Store(Block(source), uint32_t{0}) &&
      memory_.Store(AckSlot(source), kAcknowledged)) {
    return absl::OkStatus();
  }
  return NotThere();
}

Bytes BuildErrorBlock(Gpa page, uint64_t number) {
  Bytes block;
  AppendObject(block, StatusHeader{.data_length = sizeof(DataEntry) +
                                                  sizeof(MemorySection)});
  AppendObject(block, DataEntry{.timestamp = number});
  AppendObject(block, MemorySection{.address = page.value});
  return block;
}

}  // namespace kvmlet::arch::arm64
