// SPDX-License-Identifier: Apache-2.0
// Everything a driver can put into a split queue: the first bytes choose size,
// features and where the rings lie, the rest is the RAM that holds them. Every
// chain that comes out is read and written whole, so that a buffer outside RAM
// or an endless chain shows up.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "devices/virtio/queue.h"
#include "devices/virtio/spec.h"

namespace kvmlet::virtio {
namespace {

constexpr uint64_t kRamSize = 0x4000;
constexpr uint64_t kHighRam =
    0x10000;  // a second range, so that there is a gap
constexpr int kMaxChains = 300;

struct Setup {
  uint8_t size_log2;
  uint8_t flags;
  uint16_t desc;
  uint16_t driver;
  uint16_t device;
};

// One RAM for all runs: it is filled anew from each input.
const GuestMemory& Ram() {
  static const GuestMemory* memory = [] {
    const std::array<RamRange, 2> ranges{RamRange{Gpa{0}, kRamSize},
                                         RamRange{Gpa{kHighRam}, kRamSize}};
    return std::make_unique<GuestMemory>(*GuestMemory::Create(ranges, {}))
        .release();
  }();
  return *memory;
}

// Addresses are scaled so that many, not all, are aligned and inside RAM.
QueueConfig ConfigFrom(const Setup& setup) {
  QueueConfig config;
  config.size = static_cast<uint16_t>(1u << (setup.size_log2 % 16));
  if (setup.size_log2 >= 128) ++config.size;
  config.enabled = true;
  config.desc = Gpa{setup.desc * ((setup.flags & 4) != 0 ? 1ull : 16ull)};
  config.driver = Gpa{setup.driver * ((setup.flags & 8) != 0 ? 1ull : 2ull)};
  config.device = Gpa{setup.device * ((setup.flags & 16) != 0 ? 1ull : 4ull)};
  return config;
}

uint32_t UseChain(DescriptorChain& chain) {
  std::array<std::byte, 64> block;
  Reader& reader = chain.reader();
  const uint64_t total =
      uint64_t{reader.remaining()} + chain.writer().remaining();
  if (total > UINT32_MAX) std::abort();
  // Long chains are sampled: buffers may overlap, so they can be far larger
  // than RAM.
  for (int i = 0; i < 64 && reader.remaining() > 0; ++i) {
    const size_t length = std::min<size_t>(block.size(), reader.remaining());
    if (!reader.Read(std::span(block).first(length))) std::abort();
  }
  Writer& writer = chain.writer();
  std::optional<Writer> tail = writer.SplitTail(1);
  for (int i = 0; i < 64 && writer.remaining() > 0; ++i) {
    const size_t length = std::min<size_t>(block.size(), writer.remaining());
    if (!writer.Write(std::span(block).first(length))) std::abort();
  }
  std::vector<iovec> rest;
  writer.TakeIovecs(UINT32_MAX, rest);
  for (const iovec& range : rest) {
    if (range.iov_len == 0) std::abort();
    static_cast<std::byte*>(range.iov_base)[0] = std::byte{1};
    static_cast<std::byte*>(range.iov_base)[range.iov_len - 1] = std::byte{1};
  }
  if (tail && !tail->Write(uint8_t{7})) std::abort();
  return writer.written();
}

void Run(VirtQueue& queue, unsigned flags) {
  for (int i = 0; i < kMaxChains; ++i) {
    if ((flags & 32) != 0 && i % 5 == 0) queue.DisableKicks();
    std::optional<DescriptorChain> chain = queue.Pop();
    if (!chain) break;
    if (chain->head() >= queue.size()) std::abort();
    if ((flags & 64) != 0 && i % 3 == 0) {
      queue.Unpop();
      chain = queue.Pop();
      if (!chain) break;
    }
    // Sometimes the device keeps a chain.
    if ((flags & 128) != 0 && i % 4 == 0) continue;
    queue.Push(chain->head(), UseChain(*chain));
    queue.ShouldNotify();
    if ((flags & 32) != 0 && i % 5 == 1) queue.EnableKicks();
  }
  if (queue.broken() && (queue.Pop() || queue.error().empty())) std::abort();
}

void RunInput(const uint8_t* data, size_t size) {
  Setup setup;
  if (size < sizeof(setup)) return;
  std::memcpy(&setup, data, sizeof(setup));
  const std::span bytes(data + sizeof(setup), size - sizeof(setup));
  const GuestMemory& memory = Ram();
  for (const Gpa base : {Gpa{0}, Gpa{kHighRam}}) {
    if (!memory.Zero(base, kRamSize)) std::abort();
    const auto part = bytes.first(std::min<size_t>(bytes.size(), kRamSize));
    if (!memory.Write(base, std::as_bytes(part))) std::abort();
  }
  uint64_t features = kFeatureVersion1;
  if ((setup.flags & 1) != 0) features |= kFeatureEventIdx;
  if ((setup.flags & 2) != 0) features |= kFeatureIndirectDesc;
  auto queue = VirtQueue::Create(memory, ConfigFrom(setup), features);
  if (queue.ok()) Run(*queue, setup.flags);
}

}  // namespace
}  // namespace kvmlet::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::virtio::RunInput(data, size);
  return 0;
}
