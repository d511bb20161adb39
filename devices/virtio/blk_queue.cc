// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_queue.h"

#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Rounds of one call before the loop's other work gets its turn.
constexpr int kMaxRounds = 16;
// A kick is an exit for the guest and a wake-up for the loop. When the last
// ones came soon after each other, waiting a moment in turn is cheaper.
constexpr std::chrono::microseconds kMinLinger{4};
constexpr std::chrono::microseconds kMaxLinger{32};
// A request's lists of this size are kept for the next one; longer ones are
// freed, so that a guest cannot make the monitor keep its largest of each.
constexpr size_t kKeptIovecs = 128;

const char* Describe(BlockOp op) {
  switch (op) {
    case BlockOp::kRead:
      return "read";
    case BlockOp::kWrite:
      return "write";
    case BlockOp::kFlush:
      return "flush";
    case BlockOp::kDiscard:
      return "discard";
    case BlockOp::kWriteZeroes:
      return "write zeroes";
  }
  return "request";
}

std::string ErrorText(const BlockRequest& io) {
  return absl::StrFormat("%s of %u bytes at %u failed: %s", Describe(io.op),
                         io.length, io.offset, strerrordesc_np(io.error));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlkQueue>> BlkQueue::Create(
    ActiveQueue queue, std::unique_ptr<BlockQueue> disk,
    const BlkShared& shared, DeviceEvents& events, EventLoop& loop) {
  std::unique_ptr<BlkQueue> made(
      new BlkQueue(std::move(queue), std::move(disk), shared, events, loop));
  KVMLET_RETURN_IF_ERROR(made->Watch());
  return made;
}

BlkQueue::BlkQueue(ActiveQueue queue, std::unique_ptr<BlockQueue> disk,
                   const BlkShared& shared, DeviceEvents& events,
                   EventLoop& loop)
    : index_(queue.index),
      queue_(*std::move(queue.queue)),
      kick_(*queue.kick),
      shared_(shared),
      events_(events),
      loop_(loop),
      slots_(queue_.size()),
      disk_(std::move(disk)) {
  free_slots_.reserve(slots_.size());
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    slots_[i].io.tag = i;
    free_slots_.push_back(i);
  }
  rules_.alignment = shared.alignment;
  rules_.read_only = shared.read_only;
  rules_.features = shared.features;
  rules_.serial = shared.serial;
}

BlkQueue::~BlkQueue() {
  loop_.Remove(kick_.get());
  if (disk_->done_fd() >= 0) loop_.Remove(disk_->done_fd());
}

// Edge-triggered: each signal wakes the loop once and nobody needs to read
// the counters.
absl::Status BlkQueue::Watch() {
  const auto service = [this](uint32_t) { Service(); };
  KVMLET_RETURN_IF_ERROR(loop_.Add(kick_.get(), EPOLLIN | EPOLLET, service));
  if (disk_->done_fd() >= 0) {
    KVMLET_RETURN_IF_ERROR(
        loop_.Add(disk_->done_fd(), EPOLLIN | EPOLLET, service));
  }
  // The driver may have made requests available before DRIVER_OK.
  kick_.Signal();
  return absl::OkStatus();
}

void BlkQueue::Service() {
  if (stopped_) return;
  Tune();
  RefreshRules();
  queue_.DisableKicks();
  for (int round = 0; round < kMaxRounds; ++round) {
    const bool finished = FinishRequests();
    const bool taken = TakeRequests();
    if (absl::Status status = disk_->Commit(); !status.ok()) {
      queue_.Break(std::string(status.message()));
    }
    PublishUsed();
    if (queue_.broken()) return StopBroken();
    if (finished || taken || Linger()) continue;
    queue_.EnableKicks();
    if (free_slots_.empty() || !queue_.HasAvailable()) {
      idle_since_ = EventLoop::Clock::now();
      if (queue_.broken()) StopBroken();
      return;
    }
    queue_.DisableKicks();
  }
  kick_.Signal();
}

// Whether there is more to do, looked for as long as it pays.
bool BlkQueue::Linger() {
  if (linger_.count() == 0) return false;
  const auto end = EventLoop::Clock::now() + linger_;
  do {
    if (disk_->MayHaveDone()) return true;
    if (!free_slots_.empty() && queue_.HasAvailable()) return true;
  } while (EventLoop::Clock::now() < end);
  return false;
}

// The wait grows when it would have caught what woke the loop, and ends when
// even the longest would not.
void BlkQueue::Tune() {
  const auto idle = EventLoop::Clock::now() - idle_since_;
  if (idle > kMaxLinger) {
    linger_ = EventLoop::Clock::duration::zero();
  } else if (idle > linger_) {
    linger_ = std::clamp<EventLoop::Clock::duration>(2 * linger_, kMinLinger,
                                                     kMaxLinger);
  }
}

// At most one ring full: requests that are refused at once use no slot, and
// a guest could add them as fast as they are taken.
bool BlkQueue::TakeRequests() {
  size_t taken = 0;
  while (!free_slots_.empty() && taken < slots_.size()) {
    std::optional<DescriptorChain> chain = queue_.Pop();
    if (!chain) break;
    ++taken;
    BlkRequest& request = slots_[free_slots_.back()];
    const BlkParsed parsed = ParseBlkRequest(*chain, rules_, request);
    switch (parsed.verdict) {
      case BlkVerdict::kStart:
        free_slots_.pop_back();
        disk_->Start(request.io);
        break;
      case BlkVerdict::kDone:
        Complete(request, parsed.status);
        break;
      case BlkVerdict::kBroken:
        queue_.Break("a block request has no status byte");
        return true;
    }
  }
  return taken > 0;
}

bool BlkQueue::FinishRequests() {
  bool finished = false;
  while (BlockRequest* io = disk_->NextDone()) {
    finished = true;
    BlkRequest& request = slots_[io->tag];
    if (io->error == 0 && NextBlkRange(request)) {
      disk_->Start(*io);
      continue;
    }
    if (io->error != 0) shared_.log->Warn(ErrorText(*io));
    Complete(request, io->error == 0 ? kBlkOk : kBlkIoError);
    if (io->iovecs.capacity() > kKeptIovecs) io->iovecs = {};
    free_slots_.push_back(io->tag);
  }
  return finished;
}

void BlkQueue::RefreshRules() {
  rules_.capacity = shared_.capacity.load();
  const bool write_through = (shared_.features & kBlkFeatureConfigWce) != 0
                                 ? !shared_.writeback.load()
                                 : (shared_.features & kBlkFeatureFlush) == 0;
  rules_.durable = write_through;
}

void BlkQueue::Complete(BlkRequest& request, uint8_t status) {
  const bool stored = request.status.Write(status);
  const uint32_t data = status == kBlkOk ? request.written : 0;
  queue_.Stage(request.head, stored ? data + 1 : 0);
  staged_ = true;
}

void BlkQueue::PublishUsed() {
  if (!std::exchange(staged_, false)) return;
  queue_.Publish();
  if (queue_.ShouldNotify()) events_.NotifyQueue(index_);
}

// The watches stay until Reset, and do nothing.
void BlkQueue::StopBroken() {
  stopped_ = true;
  shared_.log->Warn(queue_.error());
  events_.SetNeedsReset(queue_.error());
}

}  // namespace kvmlet::virtio
