// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_driver.h"

#include <glog/logging.h>

#include <array>

namespace kvmlet::fakes {
namespace {

using virtio::VirtqDesc;
using virtio::VirtqUsedElem;

constexpr Gpa AlignUp(Gpa at, uint64_t alignment) {
  return Gpa{(at.value + alignment - 1) / alignment * alignment};
}

}  // namespace

GuestMemory MakeMemory(uint64_t size) {
  const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, size}};
  absl::StatusOr<GuestMemory> memory = GuestMemory::Create(ranges, {});
  CHECK(memory.ok()) << memory.status();
  return *std::move(memory);
}

std::vector<std::byte> FakeRequest::WritableBytes(size_t index) const {
  const Buffer& buffer = writable_.at(index);
  std::vector<std::byte> bytes(buffer.length);
  CHECK(memory_->Read(buffer.at, bytes));
  return bytes;
}

std::vector<std::byte> FakeRequest::Written() const {
  std::vector<std::byte> all;
  for (size_t i = 0; i < writable_.size(); ++i) {
    const std::vector<std::byte> part = WritableBytes(i);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::string FakeRequest::WrittenText(size_t length) const {
  std::string text;
  for (std::byte b : Written()) {
    if (text.size() == length) break;
    text.push_back(static_cast<char>(b));
  }
  return text;
}

uint8_t FakeRequest::StatusByte() const {
  const std::vector<std::byte> all = Written();
  CHECK(!all.empty());
  return static_cast<uint8_t>(all.back());
}

FakeDriver::FakeDriver(const GuestMemory& memory, uint16_t queue_size, Gpa base,
                       uint64_t space)
    : memory_(&memory) {
  config_.size = queue_size;
  config_.enabled = true;
  config_.desc = base;
  config_.driver = AlignUp(base + sizeof(VirtqDesc) * queue_size, 2);
  config_.device =
      AlignUp(config_.driver + virtio::AvailRingSize(queue_size), 4);
  data_start_ =
      AlignUp(config_.device + virtio::UsedRingSize(queue_size), 4096);
  data_end_ = base + space;
  data_next_ = data_start_;
  CHECK(data_start_ < data_end_);
  CHECK(memory.Zero(base, space)) << "the driver's area is not in RAM";
}

virtio::VirtQueue FakeDriver::CreateQueue(uint64_t features) const {
  auto queue = virtio::VirtQueue::Create(*memory_, config_, features);
  CHECK(queue.ok()) << queue.status();
  return *std::move(queue);
}

Gpa FakeDriver::Allocate(uint64_t length) {
  if (length > data_end_ - data_next_) data_next_ = data_start_;
  CHECK_LE(length, data_end_ - data_next_);
  const Gpa at = data_next_;
  const Gpa next = AlignUp(at + length, 16);
  data_next_ = next < data_end_ ? next : data_start_;
  return at;
}

FakeDriver& FakeDriver::Readable(std::span<const std::byte> bytes) {
  const Gpa at = Allocate(bytes.size());
  CHECK(memory_->Write(at, bytes));
  return ReadableAt(at, static_cast<uint32_t>(bytes.size()));
}

FakeDriver& FakeDriver::ReadableText(std::string_view text) {
  return Readable(std::as_bytes(std::span(text.data(), text.size())));
}

FakeDriver& FakeDriver::Writable(uint32_t length) {
  const Gpa at = Allocate(length);
  const std::vector<std::byte> fill(length, std::byte{0xa5});
  CHECK(memory_->Write(at, fill));
  return WritableAt(at, length);
}

FakeDriver& FakeDriver::ReadableAt(Gpa at, uint32_t length) {
  pending_.push_back({{at, length}, false});
  return *this;
}

FakeDriver& FakeDriver::WritableAt(Gpa at, uint32_t length) {
  pending_.push_back({{at, length}, true});
  return *this;
}

FakeDriver& FakeDriver::Indirect() {
  indirect_ = true;
  return *this;
}

uint16_t FakeDriver::TakeDescriptor() {
  const uint16_t index = next_descriptor_;
  next_descriptor_ = static_cast<uint16_t>((index + 1) % config_.size);
  return index;
}

FakeRequest FakeDriver::Build() {
  FakeRequest request;
  request.memory_ = memory_;
  CHECK(!pending_.empty()) << "a chain needs a buffer";
  CHECK(indirect_ || pending_.size() <= config_.size);
  // One table entry a buffer; direct ones take the next free indices.
  std::vector<uint16_t> indices;
  for (size_t i = 0; i < pending_.size(); ++i) {
    indices.push_back(indirect_ ? static_cast<uint16_t>(i) : TakeDescriptor());
  }
  const Gpa table =
      indirect_ ? Allocate(sizeof(VirtqDesc) * pending_.size()) : config_.desc;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const auto& [buffer, writable] = pending_[i];
    const bool last = i + 1 == pending_.size();
    unsigned flags = writable ? virtio::kDescWrite : 0u;
    if (!last) flags |= virtio::kDescNext;
    const VirtqDesc desc{buffer.at.value, buffer.length,
                         static_cast<uint16_t>(flags),
                         last ? uint16_t{0} : indices[i + 1]};
    Store(table + sizeof(VirtqDesc) * indices[i], desc);
    (writable ? request.writable_ : request.readable_).push_back(buffer);
  }
  request.head_ = indices.front();
  if (indirect_) {
    request.head_ = TakeDescriptor();
    const auto bytes =
        static_cast<uint32_t>(sizeof(VirtqDesc) * pending_.size());
    SetDescriptor(request.head_,
                  {table.value, bytes, virtio::kDescIndirect, 0});
  }
  pending_.clear();
  indirect_ = false;
  return request;
}

void FakeDriver::MakeAvailable(uint16_t head) {
  SetAvailEntry(static_cast<uint16_t>(avail_index_ % config_.size), head);
  SetAvailIndex(static_cast<uint16_t>(avail_index_ + 1));
}

FakeRequest FakeDriver::Submit() {
  FakeRequest request = Build();
  MakeAvailable(request.head());
  return request;
}

std::optional<VirtqUsedElem> FakeDriver::PopUsed() {
  if (used_index() == used_seen_) return std::nullopt;
  const uint64_t slot = used_seen_ % config_.size;
  ++used_seen_;
  return memory_->Load<VirtqUsedElem>(config_.device + virtio::kRingEntries +
                                      sizeof(VirtqUsedElem) * slot);
}

uint16_t FakeDriver::Load16(Gpa at) const {
  const std::optional<uint16_t> value = memory_->LoadAcquire16(at);
  CHECK(value.has_value());
  return *value;
}

template <typename T>
void FakeDriver::Store(Gpa at, const T& value) const {
  CHECK(memory_->Store(at, value));
}

uint16_t FakeDriver::used_index() const {
  return Load16(config_.device + virtio::kRingIndex);
}

uint16_t FakeDriver::used_flags() const {
  return Load16(config_.device + virtio::kRingFlags);
}

uint16_t FakeDriver::avail_event() const {
  return Load16(config_.device + virtio::AvailEventOffset(config_.size));
}

void FakeDriver::SetDescriptor(uint16_t index, const VirtqDesc& desc) {
  Store(config_.desc + sizeof(VirtqDesc) * index, desc);
}

void FakeDriver::SetAvailEntry(uint16_t slot, uint16_t head) {
  Store(config_.driver + virtio::kRingEntries + 2ull * slot, head);
}

void FakeDriver::SetAvailIndex(uint16_t index) {
  avail_index_ = index;
  CHECK(memory_->StoreRelease16(config_.driver + virtio::kRingIndex, index));
}

void FakeDriver::SetAvailFlags(uint16_t flags) {
  CHECK(memory_->StoreRelease16(config_.driver + virtio::kRingFlags, flags));
}

void FakeDriver::SetUsedEvent(uint16_t index) {
  CHECK(memory_->StoreRelease16(
      config_.driver + virtio::UsedEventOffset(config_.size), index));
}

}  // namespace kvmlet::fakes
