// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/balloon.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Requests of one call before the loop's other work gets its turn.
constexpr int kMaxRequests = 16;
// Linux sends 16 entries at most; more than all tags is of no use.
constexpr size_t kMaxStatEntries = 64;
constexpr uint64_t kPageSize = 1ull << kBalloonPageShift;

}  // namespace

BalloonDevice::BalloonDevice(BalloonOptions options, EventLoop& loop)
    : options_(std::move(options)),
      loop_(loop),
      interval_(options_.stats_interval) {
  statistics_.values.fill(UINT64_MAX);
}

uint64_t BalloonDevice::device_features() const {
  uint64_t features = kBalloonStats;
  if (options_.deflate_on_oom) features |= kBalloonDeflateOnOom;
  if (options_.reporting) features |= kBalloonReporting;
  // A driver that needs this and does not get it does not report.
  if (options_.reporting && options_.discards_to_zero) {
    features |= kBalloonPagePoison;
  }
  return features;
}

void BalloonDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  std::memcpy(data.data(),
              reinterpret_cast<const std::byte*>(&config_) + offset,
              data.size());
}

void BalloonDevice::WriteConfig(uint32_t offset,
                                std::span<const std::byte> data) {
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    BalloonConfig written = config_;
    std::memcpy(reinterpret_cast<std::byte*>(&written) + offset, data.data(),
                data.size());
    changed = written.actual != config_.actual;
    config_.actual = written.actual;
    config_.poison_val = written.poison_val;
  }
  if (changed && options_.on_change) options_.on_change();
}

// Which queue is which, by index. The specification numbers all of them; Linux
// counts only those whose feature it has accepted. What is enabled tells.
std::vector<BalloonDevice::Role> BalloonDevice::Roles(
    const ActiveState& state) {
  const std::vector<Role> fixed = {kInflate, kDeflate, kStats, kHint, kReport};
  std::vector<Role> counted = {kInflate, kDeflate};
  if ((state.features & kBalloonStats) != 0) counted.push_back(kStats);
  if ((state.features & kBalloonFreePageHint) != 0) counted.push_back(kHint);
  if ((state.features & kBalloonReporting) != 0) counted.push_back(kReport);
  for (size_t i = counted.size(); i < state.queues.size(); ++i) {
    if (state.queues[i].queue) return fixed;
  }
  return counted;
}

absl::Status BalloonDevice::Activate(ActiveState state) {
  const std::vector<Role> roles = Roles(state);
  absl::Status status;
  loop_.RunSync([&] {
    active_.reset(new Active{
        .memory = *state.memory,
        .events = *state.events,
        .content_matters = (state.features & kBalloonPagePoison) != 0,
        .ports = {},
        .held_stats = {},
        .timer = {}});
    active_->ports.reserve(roles.size());  // callbacks point into it
    for (size_t i = 0; i < std::min(roles.size(), state.queues.size()); ++i) {
      if (!state.queues[i].queue) continue;
      status.Update(StartPort(roles[i], std::move(state.queues[i])));
    }
    ArmStatsTimer();
  });
  if (!status.ok()) {
    Reset();
    return status;
  }
  const std::lock_guard lock(mutex_);
  events_ = state.events;
  return absl::OkStatus();
}

absl::Status BalloonDevice::StartPort(Role role, ActiveQueue queue) {
  active_->ports.push_back(
      {role, queue.index, *std::move(queue.queue), queue.kick});
  Port& port = active_->ports.back();
  // Edge-triggered: nobody needs to read the counter.
  KVMLET_RETURN_IF_ERROR(loop_.Add(port.kick->get(), EPOLLIN | EPOLLET,
                                   [this, &port](uint32_t) { Service(port); }));
  // The driver may have added buffers before DRIVER_OK.
  port.kick->Signal();
  return absl::OkStatus();
}

void BalloonDevice::Reset() {
  bool deflated = false;
  {
    const std::lock_guard lock(mutex_);
    events_ = nullptr;
    deflated = std::exchange(config_.actual, 0) != 0;
    config_.poison_val = 0;
    statistics_.values.fill(UINT64_MAX);
    statistics_.updated.reset();
  }
  if (active_ != nullptr) {
    loop_.RunSync([this] {
      for (const Port& port : active_->ports) loop_.Remove(port.kick->get());
      if (active_->timer) loop_.Cancel(*active_->timer);
      active_.reset();
    });
  }
  if (deflated && options_.on_change) options_.on_change();
}

void BalloonDevice::Service(Port& port) {
  VirtQueue& queue = port.queue;
  if (queue.broken()) return;
  int count = 0;
  for (; count < kMaxRequests; ++count) {
    std::optional<DescriptorChain> chain = queue.Pop();
    if (!chain) break;
    Serve(port, *chain);
  }
  if (queue.broken()) {
    log_.Warn(queue.error());
    active_->events.SetNeedsReset(queue.error());
    return;
  }
  if (queue.ShouldNotify()) active_->events.NotifyQueue(port.index);
  // The rest, after the loop's other work.
  if (count == kMaxRequests) port.kick->Signal();
}

void BalloonDevice::Serve(Port& port, DescriptorChain& chain) {
  switch (port.role) {
    case kInflate:
      Inflate(chain.reader());
      break;
    case kReport:
      Report(chain.writer());
      break;
    case kStats:
      return TakeStats(port, chain);
    default:
      break;  // a page of the guest's own: it may have it back at any time
  }
  port.queue.Push(chain.head(), 0);
}

uint64_t BalloonDevice::Discard(const iovec& range) {
  const absl::StatusOr<uint64_t> freed = active_->memory.Discard(range);
  if (freed.ok()) return *freed;
  log_.Warn(std::string(freed.status().message()));
  return 0;
}

// Pages next to one another go back together: a call each would cost more than
// the memory is worth.
void BalloonDevice::Inflate(Reader& reader) {
  if (inhibited_.load()) return;
  pages_.clear();
  while (pages_.size() < kMaxPages) {
    const std::optional<uint32_t> page = reader.Read<uint32_t>();
    if (!page) break;
    pages_.push_back(*page);
  }
  std::sort(pages_.begin(), pages_.end());
  pages_.erase(std::unique(pages_.begin(), pages_.end()), pages_.end());
  for (size_t first = 0; first < pages_.size();) {
    size_t next = first + 1;
    while (next < pages_.size() &&
           pages_[next] - pages_[first] == next - first) {
      ++next;
    }
    GiveBack(Gpa{uint64_t{pages_[first]} << kBalloonPageShift},
             (next - first) << kBalloonPageShift);
    first = next;
  }
}

void BalloonDevice::GiveBack(Gpa at, uint64_t length) {
  ranges_.clear();
  if (!active_->memory.Iovecs(at, length, ranges_)) {
    if (length == kPageSize) return log_.Warn("a page outside of RAM");
    // Some of it may be RAM.
    for (uint64_t offset = 0; offset < length; offset += kPageSize) {
      GiveBack(at + offset, kPageSize);
    }
    return;
  }
  for (const iovec& range : ranges_) inflated_ += Discard(range);
}

// Section 5.5.6.7: the pages are free and stay so until the request comes
// back. A driver that has filled them with something counts on finding it
// again; only zeroes can be promised.
void BalloonDevice::Report(Writer& writer) {
  uint32_t poison = 0;
  {
    const std::lock_guard lock(mutex_);
    poison = config_.poison_val;
  }
  if (inhibited_.load() || (active_->content_matters && poison != 0)) return;
  ranges_.clear();
  writer.TakeIovecs(writer.remaining(), ranges_);
  for (const iovec& range : ranges_) reported_ += Discard(range);
}

// Section 5.5.6.3: the driver's buffer is kept; giving it back asks for new
// numbers.
void BalloonDevice::TakeStats(Port& port, DescriptorChain& chain) {
  if (active_->held_stats) port.queue.Push(*active_->held_stats, 0);
  active_->held_stats = chain.head();
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < kMaxStatEntries; ++i) {
    const auto entry = chain.reader().Read<BalloonStatEntry>();
    if (!entry) break;
    if (entry->tag < kBalloonStatCount) {
      statistics_.values[entry->tag] = entry->value;
    }
  }
  statistics_.updated = std::chrono::system_clock::now();
}

void BalloonDevice::AskForStats() {
  for (Port& port : active_->ports) {
    if (port.role != kStats || !active_->held_stats) continue;
    port.queue.Push(*std::exchange(active_->held_stats, std::nullopt), 0);
    if (port.queue.ShouldNotify()) active_->events.NotifyQueue(port.index);
  }
}

void BalloonDevice::ArmStatsTimer() {
  if (active_->timer) loop_.Cancel(*active_->timer);
  active_->timer.reset();
  const std::chrono::seconds interval = stats_interval();
  if (interval.count() == 0) return;
  active_->timer = loop_.RunAfter(interval, [this] {
    active_->timer.reset();
    AskForStats();
    ArmStatsTimer();
  });
}

void BalloonDevice::SetStatsInterval(std::chrono::seconds interval) {
  {
    const std::lock_guard lock(mutex_);
    interval_ = interval;
  }
  loop_.RunSync([this] {
    if (active_ == nullptr) return;
    // The first numbers need not wait for the first interval.
    if (stats_interval().count() != 0) AskForStats();
    ArmStatsTimer();
  });
}

std::chrono::seconds BalloonDevice::stats_interval() const {
  const std::lock_guard lock(mutex_);
  return interval_;
}

void BalloonDevice::SetTarget(uint32_t pages) {
  DeviceEvents* events = nullptr;
  {
    const std::lock_guard lock(mutex_);
    config_.num_pages = pages;
    events = events_;
  }
  if (events != nullptr) events->NotifyConfig();
}

uint32_t BalloonDevice::target() const {
  const std::lock_guard lock(mutex_);
  return config_.num_pages;
}

uint32_t BalloonDevice::actual() const {
  const std::lock_guard lock(mutex_);
  return config_.actual;
}

BalloonStatistics BalloonDevice::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

}  // namespace kvmlet::virtio
