// SPDX-License-Identifier: Apache-2.0
// Layouts of statistics that this machine's kernel does not have.
#include "vmm/kvm/kvm_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cstring>
#include <string>
#include <vector>

#include "vmm/kvm/exit_reasons.h"

namespace kvmlet {
namespace {

using testing::ElementsAre;

constexpr uint32_t kUnitBoolean = 4u << KVM_STATS_UNIT_SHIFT;

// The file as the kernel would make it: header, id, descriptors, values.
class File {
 public:
  explicit File(uint32_t name_size = 48) {
    header_.name_size = name_size;
    header_.id_offset = sizeof(header_);
    header_.desc_offset = header_.id_offset + name_size;
  }
  File& Add(const std::string& name, uint32_t flags, int16_t exponent,
            std::vector<uint64_t> values, uint32_t bucket_size = 0) {
    std::vector<std::byte> record(16 + header_.name_size);
    const auto put = [&record](size_t at, auto value) {
      std::memcpy(record.data() + at, &value, sizeof(value));
    };
    put(0, flags);
    put(4, exponent);
    put(6, static_cast<uint16_t>(values.size()));
    put(8, static_cast<uint32_t>(values_.size() * 8));
    put(12, bucket_size);
    std::memcpy(record.data() + 16, name.data(), name.size());
    records_.insert(records_.end(), record.begin(), record.end());
    values_.insert(values_.end(), values.begin(), values.end());
    ++header_.num_desc;
    return *this;
  }
  kvm_stats_header& header() { return header_; }
  std::vector<std::byte> Bytes() {
    if (header_.data_offset == 0) {
      header_.data_offset =
          header_.desc_offset + static_cast<uint32_t>(records_.size());
    }
    std::vector<std::byte> bytes(header_.desc_offset);
    std::memcpy(bytes.data(), &header_, sizeof(header_));
    bytes.insert(bytes.end(), records_.begin(), records_.end());
    return bytes;
  }
  std::vector<std::byte> Data() const {
    const auto data = std::as_bytes(std::span(values_));
    return {data.begin(), data.end()};
  }

 private:
  kvm_stats_header header_{};
  std::vector<std::byte> records_;
  std::vector<uint64_t> values_;
};

std::vector<Stat> Read(File& file) {
  const auto layout = KvmStatsLayout::Parse(file.Bytes());
  EXPECT_TRUE(layout.ok()) << layout.status();
  if (!layout.ok()) return {};
  return layout->Values(file.Data());
}

TEST(KvmStatsTest, EveryKindIsRead) {
  File file;
  file.Add("exits", KVM_STATS_TYPE_CUMULATIVE, 0, {7})
      .Add("pages_2m",
           KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES | KVM_STATS_BASE_POW2,
           21, {3})
      .Add("most", KVM_STATS_TYPE_PEAK, 0, {9})
      .Add("waits", KVM_STATS_TYPE_LOG_HIST | KVM_STATS_UNIT_SECONDS, -9,
           {1, 2, 3})
      .Add("sizes", KVM_STATS_TYPE_LINEAR_HIST | KVM_STATS_UNIT_CYCLES, 0,
           {4, 5}, 100)
      .Add("in_guest", KVM_STATS_TYPE_INSTANT | kUnitBoolean, 0, {1});
  const std::vector<Stat> stats = Read(file);
  ASSERT_EQ(stats.size(), 6u);
  EXPECT_EQ(stats[0].info.name, "exits");
  EXPECT_EQ(stats[0].info.type, StatType::kCumulative);
  EXPECT_THAT(stats[0].values, ElementsAre(7));
  EXPECT_EQ(stats[1].info.unit, StatUnit::kBytes);
  EXPECT_EQ(stats[1].info.base, 2u);
  EXPECT_EQ(stats[1].info.exponent, 21);
  EXPECT_EQ(stats[2].info.type, StatType::kPeak);
  EXPECT_EQ(stats[3].info.exponent, -9);
  EXPECT_THAT(stats[3].values, ElementsAre(1, 2, 3));
  EXPECT_EQ(stats[4].info.bucket_size, 100u);
  EXPECT_EQ(stats[5].info.unit, StatUnit::kBoolean);
}

TEST(KvmStatsTest, LongerNamesAreTheHeadersBusiness) {
  File file(64);
  const std::string name(64, 'n');  // no room for a NUL
  file.Add(name, 0, 0, {1}).Add("short", 0, 0, {2});
  const std::vector<Stat> stats = Read(file);
  ASSERT_EQ(stats.size(), 2u);
  EXPECT_EQ(stats[0].info.name, name);
  EXPECT_THAT(stats[1].values, ElementsAre(2));
}

TEST(KvmStatsTest, UnknownKindsAreSkipped) {
  File file;
  file.Add("new_type", 9, 0, {1})
      .Add("new_unit", 9u << KVM_STATS_UNIT_SHIFT, 0, {2})
      .Add("new_base", 9u << KVM_STATS_BASE_SHIFT, 0, {3})
      .Add("two_of_one", KVM_STATS_TYPE_INSTANT, 0, {4, 5})
      .Add("", 0, 0, {6})
      .Add("known", 0, 0, {7});
  const std::vector<Stat> stats = Read(file);
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].info.name, "known");
  EXPECT_THAT(stats[0].values, ElementsAre(7));
}

TEST(KvmStatsTest, ContradictionsAreErrors) {
  const auto bytes = File().Add("a", 0, 0, {1}).Bytes();
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(KvmStatsLayout::Parse(std::span(bytes).first(length)).ok());
  }
  File many;
  many.Add("a", 0, 0, {1}).header().num_desc = 0xffffffff;
  EXPECT_FALSE(KvmStatsLayout::Parse(many.Bytes()).ok());
  File nameless;
  nameless.header().name_size = 0;
  EXPECT_FALSE(KvmStatsLayout::Parse(nameless.Bytes()).ok());
  File far;
  auto far_bytes = far.Add("a", 0, 0, {1}).Bytes();
  const uint32_t offset = 0xfffffff0;
  std::memcpy(far_bytes.data() + far.header().desc_offset + 8, &offset, 4);
  EXPECT_FALSE(KvmStatsLayout::Parse(far_bytes).ok());
}

TEST(ExitReasonsTest, NumbersHaveTheirKernelsNames) {
  EXPECT_EQ(ExitReasonName(KVM_EXIT_UNKNOWN), "unknown");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_IO), "io");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_MMIO), "mmio");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_INTERNAL_ERROR), "internal_error");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_SYSTEM_EVENT), "system_event");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_ARM_NISV), "arm_nisv");
  EXPECT_EQ(ExitReasonName(KVM_EXIT_RISCV_CSR), "riscv_csr");
  EXPECT_EQ(ExitReasonName(63), "exit_63");
}

}  // namespace
}  // namespace kvmlet
