// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/pmem.h"

#include <sys/epoll.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Of one call, before the loop's other work gets its turn.
constexpr int kMaxRounds = 8;

}  // namespace

PmemDevice::PmemDevice(PmemConfig config, std::unique_ptr<BlockBackend> disk,
                       std::string label, EventLoop& loop)
    : config_(config),
      disk_(std::move(disk)),
      label_(std::move(label)),
      loop_(loop),
      log_(label_) {}

void PmemDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  std::memcpy(data.data(),
              reinterpret_cast<const std::byte*>(&config_) + offset,
              data.size());
}

absl::Status PmemDevice::Activate(ActiveState state) {
  if (state.queues.empty() || !state.queues[0].queue) return absl::OkStatus();
  absl::Status status;
  loop_.RunSync(
      [&] { status = Start(std::move(state.queues[0]), *state.events); });
  if (!status.ok()) Reset();
  return status;
}

absl::Status PmemDevice::Start(ActiveQueue queue, DeviceEvents& events) {
  std::unique_ptr<BlockQueue> disk;
  if (disk_ != nullptr) {
    KVMLET_ASSIGN_OR_RETURN(disk, disk_->NewQueue(1));
  }
  active_.reset(new Active{.queue = *std::move(queue.queue),
                           .kick = *queue.kick,
                           .events = events,
                           .waiting = {},
                           .flushing = {},
                           .flush = {},
                           .disk = std::move(disk)});
  if (active_->disk != nullptr && active_->disk->done_fd() >= 0) {
    KVMLET_RETURN_IF_ERROR(loop_.Add(active_->disk->done_fd(),
                                     EPOLLIN | EPOLLET,
                                     [this](uint32_t) { Service(); }));
  }
  // Edge-triggered: nobody needs to read the counter.
  KVMLET_RETURN_IF_ERROR(loop_.Add(active_->kick.get(), EPOLLIN | EPOLLET,
                                   [this](uint32_t) { Service(); }));
  // The driver may have added buffers before DRIVER_OK.
  active_->kick.Signal();
  return absl::OkStatus();
}

void PmemDevice::Reset() {
  if (active_ == nullptr) return;
  loop_.RunSync([this] {
    loop_.Remove(active_->kick.get());
    if (active_->disk != nullptr && active_->disk->done_fd() >= 0) {
      loop_.Remove(active_->disk->done_fd());
    }
    active_.reset();  // waits for a flush that runs
  });
}

void PmemDevice::Service() {
  VirtQueue& queue = active_->queue;
  if (active_->stopped) return;
  for (int round = 0; round < kMaxRounds; ++round) {
    const bool finished = FinishFlush();
    const bool taken = TakeRequests();
    StartFlush();
    if (queue.ShouldNotify()) active_->events.NotifyQueue(0);
    if (queue.broken()) {
      log_.Warn(queue.error());
      active_->stopped = true;
      active_->events.SetNeedsReset(queue.error());
      return;
    }
    if (!finished && !taken) return;
  }
  active_->kick.Signal();  // The rest, after the loop's other work.
}

// At most one ring full: what is answered at once a guest could add as fast as
// it is taken.
bool PmemDevice::TakeRequests() {
  VirtQueue& queue = active_->queue;
  size_t taken = 0;
  while (taken < queue.size() && active_->waiting.size() < queue.size()) {
    std::optional<DescriptorChain> chain = queue.Pop();
    if (!chain) break;
    ++taken;
    Take(*std::move(chain));
  }
  return taken > 0;
}

void PmemDevice::Take(DescriptorChain chain) {
  const std::optional<uint32_t> type = chain.reader().Read<uint32_t>();
  if (!type || chain.writer().remaining() < sizeof(uint32_t)) {
    log_.Warn("a request without type or room for the answer");
    active_->queue.Push(chain.head(), 0);
  } else if (*type != kPmemRequestFlush) {
    log_.Warn(absl::StrCat("a request of unknown type ", *type));
    Answer(chain, kPmemError);
  } else if (active_->disk == nullptr) {
    Answer(chain, kPmemOk);
  } else {
    active_->waiting.push_back(std::move(chain));
  }
}

// Begins the next flush when none runs, and gives the disk what it has to do.
void PmemDevice::StartFlush() {
  Active& active = *active_;
  if (active.disk == nullptr) return;
  if (!active.busy && !active.waiting.empty()) {
    active.flushing.swap(active.waiting);
    active.busy = true;
    active.flush = BlockRequest{};
    active.flush.op = BlockOp::kFlush;
    active.disk->Start(active.flush);
  }
  const absl::Status status = active.disk->Commit();
  // For good; no answer may say that the data is safe.
  if (!status.ok()) active.queue.Break(std::string(status.message()));
}

// True when a flush has ended.
bool PmemDevice::FinishFlush() {
  Active& active = *active_;
  if (!active.busy) return false;
  BlockRequest* const done = active.disk->NextDone();
  if (done == nullptr) return false;
  active.busy = false;
  if (done->error != 0) {
    log_.Warn(absl::StrCat("flush: ", strerrordesc_np(done->error)));
  }
  const uint32_t result = done->error == 0 ? kPmemOk : kPmemError;
  for (DescriptorChain& chain : active.flushing) Answer(chain, result);
  active.flushing.clear();
  return true;
}

void PmemDevice::Answer(DescriptorChain& chain, uint32_t result) {
  // There is room: Take has looked.
  if (!chain.writer().Write(result)) return;
  active_->queue.Push(chain.head(), chain.writer().written());
}

}  // namespace kvmlet::virtio
