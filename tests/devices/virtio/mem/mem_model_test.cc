// SPDX-License-Identifier: Apache-2.0
// 100,000 random requests, resizes and resets, against a model that is a list
// of booleans and the rules of the specification read one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/devices/virtio/mem/mem_fixture.h"

namespace kvmlet::virtio {
namespace {

constexpr int kSteps = 100'000;

class Model {
 public:
  Model(uint64_t base, uint64_t block, uint64_t blocks, uint64_t memory_block,
        uint64_t requested)
      : base_(base),
        block_(block),
        memory_block_(memory_block),
        plugged_(blocks),
        requested_(requested) {
    usable_ = Usable();
  }

  struct Answer {
    MemResponseType type;
    uint16_t state = 0;
  };
  Answer Handle(const MemRequest& request, bool host_refuses) {
    if (request.type == 2) {
      Reset();
      return {MemResponseType::kAck};
    }
    if (request.type > 3) return {MemResponseType::kError};
    // In 128 bits nothing wraps.
    const auto start = static_cast<unsigned __int128>(request.addr);
    const auto end =
        start + static_cast<unsigned __int128>(request.nb_blocks) * block_;
    if (request.nb_blocks == 0 || request.addr % block_ != 0 || start < base_ ||
        end > base_ + usable_) {
      return {MemResponseType::kError};
    }
    const uint64_t first = (request.addr - base_) / block_;
    const auto begin = plugged_.begin() + static_cast<ptrdiff_t>(first);
    const auto stop = begin + request.nb_blocks;
    const auto set = static_cast<uint64_t>(std::count(begin, stop, true));
    if (request.type == 3) {
      const bool all = set == request.nb_blocks;
      return {MemResponseType::kAck, static_cast<uint16_t>(all        ? 0
                                                           : set == 0 ? 1
                                                                      : 2)};
    }
    const bool plug = request.type == 0;
    if (set != (plug ? 0 : request.nb_blocks)) return {MemResponseType::kError};
    if (plug && size() + request.nb_blocks * block_ > requested_) {
      return {MemResponseType::kNack};
    }
    if (plug && host_refuses) return {MemResponseType::kBusy};
    std::fill(begin, stop, plug);
    return {MemResponseType::kAck};
  }
  bool Resize(uint64_t requested) {
    if (requested % block_ != 0 || requested > plugged_.size() * block_) {
      return false;
    }
    requested_ = requested;
    usable_ = std::max(usable_, Usable());
    return true;
  }
  void Reset() {
    std::fill(plugged_.begin(), plugged_.end(), false);
    usable_ = Usable();
  }
  uint64_t size() const {
    return static_cast<uint64_t>(
               std::count(plugged_.begin(), plugged_.end(), true)) *
           block_;
  }
  uint64_t usable() const { return usable_; }
  uint64_t requested() const { return requested_; }
  bool plugged(uint64_t block) const { return plugged_[block]; }

 private:
  uint64_t Usable() const {
    if (requested_ == 0) return 0;
    uint64_t size = 0;
    while (size < requested_) size += memory_block_;
    return std::min(size + 2 * memory_block_, plugged_.size() * block_);
  }
  uint64_t base_;
  uint64_t block_;
  uint64_t memory_block_;
  std::vector<bool> plugged_;
  uint64_t requested_;
  uint64_t usable_ = 0;
};

class MemModelTest : public MemFixture {
 protected:
  uint64_t Below(uint64_t n) { return random_() % n; }

  // Mostly sound, sometimes at an edge, sometimes anything.
  MemRequest RandomRequest() {
    const auto type = static_cast<MemRequestType>(
        Below(100) == 0 ? 2 : std::array{0, 0, 1, 1, 3}[Below(5)]);
    MemRequest request =
        Request(type, Below(kBlocks), static_cast<uint16_t>(1 + Below(6)));
    switch (Below(24)) {
      case 0:
        request.addr = random_();
        break;
      case 1:
        request.addr += Below(kBlock);
        break;
      case 2:
        request.nb_blocks = static_cast<uint16_t>(random_());
        break;
      case 3:
        request.addr = kBase - Below(4) * kBlock;
        break;
      case 4:
        request.type = static_cast<uint16_t>(random_());
        break;
      case 5:
        request.nb_blocks = 0;
        break;
      default:
        break;
    }
    for (uint16_t& word : request.padding) {
      word = static_cast<uint16_t>(random_());
    }
    return request;
  }
  void RandomResize(MemBlocks& blocks, Model& model) {
    uint64_t size = Below(kBlocks + 2) * kBlock;
    if (Below(8) == 0) size += Below(kBlock);
    EXPECT_EQ(blocks.Resize(size).ok(), model.Resize(size));
  }

  std::mt19937_64 random_{20'261'121};
};

TEST_F(MemModelTest, AnswersAreTheModels) {
  MemBlocks blocks(*device_memory_, Options(), [] {});
  Model model(kBase, kBlock, kBlocks, kMemoryBlock, kRequested);
  std::array<int, kMemResponseTypes> seen{};
  for (int step = 0; step < kSteps; ++step) {
    const uint64_t what = Below(40);
    if (what == 0) RandomResize(blocks, model);
    if (what == 1 && Below(50) == 0) {
      blocks.SystemReset();
      model.Reset();
    }
    gate_.shut = Below(10) == 0;
    const MemRequest request = RandomRequest();
    const auto expected = model.Handle(request, gate_.shut);
    const auto answer = blocks.Handle(request);
    ASSERT_EQ(answer.type, expected.type)
        << "step " << step << " type " << request.type << " addr "
        << request.addr << " blocks " << request.nb_blocks;
    if (request.type == 3 && answer.type == MemResponseType::kAck) {
      ASSERT_EQ(static_cast<uint16_t>(answer.state), expected.state);
    }
    ++seen[static_cast<size_t>(answer.type)];
    const MemConfig config = blocks.config();
    ASSERT_EQ(config.plugged_size, model.size());
    ASSERT_EQ(config.usable_region_size, model.usable());
    ASSERT_EQ(config.requested_size, model.requested());
    const uint64_t block = Below(kBlocks);
    ASSERT_EQ(memory_.Contains(Gpa{kBase + block * kBlock}, kBlock),
              model.plugged(block));
  }
  // Every answer was given often enough to mean something.
  for (const int count : seen) EXPECT_GT(count, kSteps / 200);
}

}  // namespace
}  // namespace kvmlet::virtio
