// SPDX-License-Identifier: Apache-2.0
// The error sources as a guest's kernel reads them: by the HEST, through the
// address slot, to the record; and what a hostile one can do.
#include "arch/arm64/error_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/arch/common/acpi_reader.h"

namespace kvmlet::arch::arm64 {
namespace {

using Source = ErrorSources::Source;

constexpr Gpa kBase{0x10000};
constexpr Gpa kPage{0x4567000};
constexpr size_t kFirstSource = 40;
constexpr size_t kSourceSize = 92;

class ErrorSourceTest : public testing::Test {
 protected:
  ErrorSourceTest() {
    const RamRange range{Gpa{0}, 0x20000};
    memory_.emplace(*GuestMemory::Create({&range, 1}, {}));
    sources_.emplace(*memory_, kBase);
    EXPECT_TRUE(sources_->Reset().ok());
    hest_ = sources_->BuildHest();
  }

  size_t EntryOf(Source source) const {
    return kFirstSource + static_cast<size_t>(source) * kSourceSize;
  }
  // What the HEST says about acknowledging.
  Gpa Ack(Source source) const {
    return Gpa{LoadAt<uint64_t>(hest_, EntryOf(source) + 64 + 4)};
  }
  // The record, as the guest finds it.
  Bytes RecordOf(Source source) const {
    const Gpa slot{LoadAt<uint64_t>(hest_, EntryOf(source) + 20 + 4)};
    const uint64_t at = memory_->Load<uint64_t>(slot).value_or(0);
    Bytes record(172);
    EXPECT_TRUE(memory_->Read(Gpa{at}, record));
    return record;
  }
  void Acknowledge(Source source) {
    const uint64_t old = memory_->Load<uint64_t>(Ack(source)).value_or(0);
    const auto preserve = LoadAt<uint64_t>(hest_, EntryOf(source) + 76);
    const auto write = LoadAt<uint64_t>(hest_, EntryOf(source) + 84);
    EXPECT_TRUE(memory_->Store(Ack(source), (old & preserve) | write));
  }

  std::optional<GuestMemory> memory_;
  std::optional<ErrorSources> sources_;
  Bytes hest_;
};

TEST_F(ErrorSourceTest, HestNamesAnAbortAndAnEvent) {
  EXPECT_EQ(LoadAt<uint32_t>(hest_, 36), 2u);
  ASSERT_EQ(hest_.size(), kFirstSource + 2 * kSourceSize);
  const uint8_t notifications[] = {8, 7};
  for (const Source source : {Source::kAbort, Source::kEvent}) {
    const size_t at = EntryOf(source);
    EXPECT_EQ(LoadAt<uint16_t>(hest_, at), 10);
    EXPECT_EQ(LoadAt<uint16_t>(hest_, at + 2), static_cast<uint16_t>(source));
    EXPECT_EQ(LoadAt<uint8_t>(hest_, at + 7), 1);
    EXPECT_EQ(LoadAt<uint8_t>(hest_, at + 32),
              notifications[static_cast<size_t>(source)]);
    EXPECT_GE(LoadAt<uint32_t>(hest_, at + 60), 172u);
  }
}

TEST_F(ErrorSourceTest, RecordNamesThePage) {
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  const Bytes record = RecordOf(Source::kAbort);
  EXPECT_EQ(LoadAt<uint32_t>(record, 0), 0x11u);  // one, uncorrectable
  EXPECT_EQ(LoadAt<uint32_t>(record, 12), 152u);  // bytes of data
  EXPECT_EQ(LoadAt<uint32_t>(record, 16), 0u);    // recoverable
  EXPECT_EQ(LoadAt<uint32_t>(record, 20), 0xa5bc1114u);
  EXPECT_EQ(LoadAt<uint16_t>(record, 40), 0x300);
  EXPECT_EQ(LoadAt<uint32_t>(record, 44), 80u);
  EXPECT_EQ(LoadAt<uint64_t>(record, 92) & 2, 2u);  // the address counts
  EXPECT_EQ(LoadAt<uint64_t>(record, 108), kPage.value);
}

TEST_F(ErrorSourceTest, SecondRecordWaitsForTheGuest) {
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  EXPECT_EQ(memory_->Load<uint64_t>(Ack(Source::kAbort)), 0u);
  EXPECT_FALSE(*sources_->Record(Source::kAbort, kPage + 0x1000));
  EXPECT_EQ(LoadAt<uint64_t>(RecordOf(Source::kAbort), 108), kPage.value);
  Acknowledge(Source::kAbort);
  EXPECT_TRUE(*sources_->Record(Source::kAbort, kPage + 0x1000));
  EXPECT_EQ(LoadAt<uint64_t>(RecordOf(Source::kAbort), 108),
            kPage.value + 0x1000);
}

TEST_F(ErrorSourceTest, SameErrorIsANewRecord) {
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  const Bytes first = RecordOf(Source::kAbort);
  Acknowledge(Source::kAbort);
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  EXPECT_NE(first, RecordOf(Source::kAbort));
}

TEST_F(ErrorSourceTest, WhatIsTakenBackKeepsNobodyOut) {
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  ASSERT_TRUE(sources_->Withdraw(Source::kAbort).ok());
  EXPECT_EQ(LoadAt<uint32_t>(RecordOf(Source::kAbort), 0), 0u);
  EXPECT_TRUE(*sources_->Record(Source::kAbort, kPage));
}

TEST_F(ErrorSourceTest, SourcesDoNotWaitForEachOther) {
  ASSERT_TRUE(*sources_->Record(Source::kAbort, kPage));
  EXPECT_TRUE(*sources_->Record(Source::kEvent, kPage + 0x2000));
  EXPECT_EQ(LoadAt<uint64_t>(RecordOf(Source::kAbort), 108), kPage.value);
  EXPECT_EQ(LoadAt<uint64_t>(RecordOf(Source::kEvent), 108),
            kPage.value + 0x2000);
}

// Where the guest says that a record is, is for the guest only.
TEST_F(ErrorSourceTest, GuestCannotMoveTheRecord) {
  const Gpa slot{LoadAt<uint64_t>(hest_, EntryOf(Source::kAbort) + 24)};
  ASSERT_TRUE(memory_->Store(slot, ~uint64_t{0}));
  ASSERT_TRUE(memory_->Zero(Gpa{0}, kBase.value));
  EXPECT_TRUE(*sources_->Record(Source::kAbort, kPage));
  Bytes elsewhere(kBase.value);
  ASSERT_TRUE(memory_->Read(Gpa{0}, elsewhere));
  EXPECT_THAT(elsewhere, testing::Each(std::byte{0}));
}

TEST_F(ErrorSourceTest, OutsideRamIsAnError) {
  ErrorSources nowhere(*memory_, Gpa{0x1fff000});
  EXPECT_FALSE(nowhere.Reset().ok());
  EXPECT_FALSE(nowhere.Record(Source::kAbort, kPage).ok());
}

}  // namespace
}  // namespace kvmlet::arch::arm64
