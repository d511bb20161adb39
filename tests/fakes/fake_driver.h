// SPDX-License-Identifier: Apache-2.0
// The driver side of one split virtqueue in guest memory, for tests: lays the
// rings out, builds chains and reads the used ring. It also lets a test break
// every rule, through the raw setters. Not thread-safe.
//
//   FakeDriver driver(memory, /*queue_size=*/8);
//   VirtQueue queue = driver.CreateQueue();
//   auto request = driver.Readable(header).Writable(512).Writable(1).Submit();
//   ... the device pops, serves and pushes ...
//   EXPECT_EQ(driver.PopUsed()->len, 513u);
//   EXPECT_EQ(request.StatusByte(), 0);
//
// Specification: Virtio 1.2, section 2.7.
#ifndef KVMLET_TESTS_FAKES_FAKE_DRIVER_H_
#define KVMLET_TESTS_FAKES_FAKE_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "devices/virtio/queue.h"
#include "devices/virtio/spec.h"
#include "vmm/memory/guest_memory.h"

namespace kvmlet::fakes {

// RAM at guest-physical 0, `size` bytes (a multiple of 4 KiB).
GuestMemory MakeMemory(uint64_t size = 1 << 20);

// What FakeDriver::Submit built: where its buffers lie, and their bytes.
class FakeRequest {
 public:
  struct Buffer {
    Gpa at;
    uint32_t length = 0;
  };

  uint16_t head() const { return head_; }
  const std::vector<Buffer>& readable() const { return readable_; }
  const std::vector<Buffer>& writable() const { return writable_; }
  // All device-writable bytes, in order.
  std::vector<std::byte> Written() const;
  // The same as text, cut to `length`.
  std::string WrittenText(size_t length) const;
  // The bytes of one writable buffer.
  std::vector<std::byte> WritableBytes(size_t index) const;
  template <typename T>
  T WritableAs(size_t index) const {
    return *memory_->Load<T>(writable_.at(index).at);
  }
  // The last device-writable byte.
  uint8_t StatusByte() const;

 private:
  friend class FakeDriver;
  const GuestMemory* memory_ = nullptr;
  uint16_t head_ = 0;
  std::vector<Buffer> readable_;
  std::vector<Buffer> writable_;
};

class FakeDriver {
 public:
  // The rings start at `base` (page-aligned); the buffers follow, up to
  // `base + space`, and are reused in a circle.
  FakeDriver(const GuestMemory& memory, uint16_t queue_size,
             Gpa base = Gpa{0x10000}, uint64_t space = 0x80000);

  virtio::QueueConfig config() const { return config_; }
  // With EVENT_IDX and INDIRECT_DESC unless told otherwise.
  virtio::VirtQueue CreateQueue(
      uint64_t features = virtio::kFeatureVersion1 | virtio::kFeatureEventIdx |
                          virtio::kFeatureIndirectDesc) const;

  // Chain builder: add buffers, then Submit.
  FakeDriver& Readable(std::span<const std::byte> bytes);
  FakeDriver& ReadableText(std::string_view text);
  template <typename T>
  requires(std::is_trivially_copyable_v<T> &&
           !std::is_convertible_v<T, std::span<const std::byte>>)
      FakeDriver& Readable(const T& value) {
    return Readable(std::as_bytes(std::span(&value, 1)));
  }
  // Filled with 0xa5, so that a test sees what the device left alone.
  FakeDriver& Writable(uint32_t length);
  // A buffer at an address of the test's choice, inside RAM or not.
  FakeDriver& ReadableAt(Gpa at, uint32_t length);
  FakeDriver& WritableAt(Gpa at, uint32_t length);
  // The next Submit puts the chain into an indirect table.
  FakeDriver& Indirect();
  // Writes the descriptors, the avail entry and avail.idx.
  FakeRequest Submit();
  // The same without making it available.
  FakeRequest Build();
  void MakeAvailable(uint16_t head);

  // Used ring: the next entry the device published.
  std::optional<virtio::VirtqUsedElem> PopUsed();
  uint16_t used_index() const;
  uint16_t used_flags() const;
  uint16_t avail_event() const;

  // Raw access, for hostile tests.
  void SetDescriptor(uint16_t index, const virtio::VirtqDesc& desc);
  void SetAvailEntry(uint16_t slot, uint16_t head);
  void SetAvailIndex(uint16_t index);
  uint16_t avail_index() const { return avail_index_; }
  void SetAvailFlags(uint16_t flags);
  void SetUsedEvent(uint16_t index);
  // Space for `length` bytes, 16-byte aligned.
  Gpa Allocate(uint64_t length);

 private:
  uint16_t TakeDescriptor();
  template <typename T>
  void Store(Gpa at, const T& value) const;
  uint16_t Load16(Gpa at) const;

  struct Pending {
    FakeRequest::Buffer buffer;
    bool writable = false;
  };
  const GuestMemory* memory_;
  virtio::QueueConfig config_;
  Gpa data_start_;
  Gpa data_end_;
  Gpa data_next_;
  uint16_t next_descriptor_ = 0;
  uint16_t avail_index_ = 0;
  uint16_t used_seen_ = 0;
  std::vector<Pending> pending_;
  bool indirect_ = false;
};

}  // namespace kvmlet::fakes

#endif  // KVMLET_TESTS_FAKES_FAKE_DRIVER_H_
