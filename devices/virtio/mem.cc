// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mem.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace kvmlet::virtio {
namespace {

// Requests of one call before the loop's other work gets its turn.
constexpr int kMaxRequests = 16;
// After BUSY; doubled as long as nothing else is answered.
constexpr std::chrono::seconds kFirstNudge{1};
constexpr std::chrono::seconds kLastNudge{4};
// So much rarer are the audits of a device that has nothing plugged and of
// which nothing was touched.
constexpr int kIdleAudits = 6;

}  // namespace

MemDevice::MemDevice(DeviceMemory& memory, const MemBlocks::Options& options,
                     EventLoop& loop, std::function<void()> on_change)
    : memory_(memory),
      loop_(loop),
      on_change_(std::move(on_change)),
      has_node_(options.node.has_value()),
      blocks_(memory, options,
              [this] {
                if (events_ != nullptr) events_->ConfigChanging();
              }),
      audit_period_(options.audit_period),
      nudge_delay_(kFirstNudge) {}

MemDevice::~MemDevice() {
  Reset();
  loop_.RunSync([this] {
    if (nudge_) loop_.Cancel(*nudge_);
    if (audit_) loop_.Cancel(*audit_);
  });
}

uint64_t MemDevice::device_features() const {
  return kMemUnpluggedInaccessible | kMemPersistentSuspend |
         (has_node_ ? kMemAcpiPxm : 0);
}

void MemDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const MemConfig config = blocks_.config();
  const auto bytes = std::as_bytes(std::span(&config, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), data.size());
}

absl::Status MemDevice::Activate(ActiveState state) {
  if (state.queues.empty() || !state.queues[0].queue) return absl::OkStatus();
  ActiveQueue& queue = state.queues[0];
  absl::Status status;
  loop_.RunSync([&] {
    active_.reset(new Active{*std::move(queue.queue), *queue.kick, {}});
    // Edge-triggered: nobody needs to read the counter.
    status = loop_.Add(active_->kick.get(), EPOLLIN | EPOLLET,
                       [this](uint32_t) { Service(); });
    // The driver may have added requests before DRIVER_OK.
    active_->kick.Signal();
  });
  driver_ = status.ok();
  return status;
}

// The blocks stay as they are (section 5.15.6.1): only the driver goes.
void MemDevice::Reset() {
  driver_ = false;
  if (active_ == nullptr) return;
  memory_.Hurry(true);
  loop_.RunSync([this] {
    memory_.Hurry(false);
    loop_.Remove(active_->kick.get());
    if (active_->delay) loop_.Cancel(*active_->delay);
    active_.reset();
  });
}

void MemDevice::SystemReset() {
  loop_.RunSync([this] { blocks_.SystemReset(); });
  on_change_();
}

void MemDevice::Service() {
  if (active_->queue.broken() || active_->delay) return;
  for (int count = 0; count < kMaxRequests; ++count) {
    std::optional<DescriptorChain> chain = active_->queue.Pop();
    if (!chain) return Finish();
    Serve(*std::move(chain));
    if (active_->delay || active_->queue.broken()) return Finish();
  }
  Finish();
  active_->kick.Signal();  // The rest, after the loop's other work.
}

void MemDevice::Finish() {
  VirtQueue& queue = active_->queue;
  if (queue.broken()) {
    log_.Warn(queue.error());
    driver_ = false;
    events_->SetNeedsReset(queue.error());
  } else if (queue.ShouldNotify()) {
    events_->NotifyQueue(0);
  }
}

void MemDevice::Serve(DescriptorChain chain) {
  const auto request = chain.reader().Read<MemRequest>();
  if (!request || chain.writer().remaining() < sizeof(MemResponse)) {
    active_->queue.Break(
        "a request is shorter than 24 bytes, or its response "
        "than 10");
    return;
  }
  const auto fault = faults_.Take(*request, blocks_.config());
  if (!fault) return Complete(chain, *request, blocks_.Handle(*request));
  const auto finish = [this, request = *request,
                       response = fault->response](DescriptorChain& late) {
    Complete(late, request,
             response ? MemBlocks::Answer{.type = *response,
                                          .why = "a fault that was asked for",
                                          .injected = true}
                      : blocks_.Handle(request));
  };
  if (fault->delay.count() == 0) return finish(chain);
  const auto held = std::make_shared<DescriptorChain>(std::move(chain));
  active_->delay = loop_.RunAfter(fault->delay, [this, held, finish] {
    active_->delay.reset();
    finish(*held);
    Finish();
    active_->kick.Signal();
  });
}

void MemDevice::Complete(DescriptorChain& chain, const MemRequest& request,
                         const MemBlocks::Answer& answer) {
  MemResponse response{};
  response.type = static_cast<uint16_t>(answer.type);
  response.state = static_cast<uint16_t>(answer.state);
  // It fits, that was checked before anything was done.
  std::ignore = chain.writer().Write(response);
  active_->queue.Push(chain.head(), sizeof(response));
  Record(request, answer);
  if (answer.type == MemResponseType::kBusy) {
    log_.Warn(answer.why);
    if (!answer.injected) ScheduleNudge();
    return;
  }
  nudge_delay_ = kFirstNudge;
  if (answer.type != MemResponseType::kAck) return;
  if (request.type == static_cast<uint16_t>(MemRequestType::kState)) return;
  ScheduleAudit(audit_period_);
  on_change_();
}

void MemDevice::Record(const MemRequest& request,
                       const MemBlocks::Answer& answer) {
  const std::lock_guard lock(mutex_);
  status_.last_request = Clock::now();
  status_.last_response = answer.type;
  status_.busy =
      answer.type == MemResponseType::kBusy ? answer.why : std::string();
  if (request.type >= kMemRequestTypes) return;
  ++status_.answers[request.type][static_cast<size_t>(answer.type)];
}

// Linux waits 50 seconds after BUSY, then longer; a configuration change makes
// it try at once. Whether the host can by now shows when it tries.
void MemDevice::ScheduleNudge() {
  if (nudge_) return;
  nudge_ = loop_.RunAfter(nudge_delay_, [this] {
    nudge_.reset();
    NotifyConfig();
  });
  nudge_delay_ = std::min<Clock::duration>(2 * nudge_delay_, kLastNudge);
}

void MemDevice::ScheduleAudit(Clock::duration delay) {
  if (audit_ && delay >= audit_delay_) return;
  if (audit_) loop_.Cancel(*audit_);
  audit_delay_ = delay;
  audit_ = loop_.RunAfter(delay, [this] {
    audit_.reset();
    const uint64_t touched = memory_.DiscardTouched();
    {
      const std::lock_guard lock(mutex_);
      status_.touched_unplugged += touched;
    }
    // For good: a vhost device of the kernel's still finds the memory.
    const bool idle = touched == 0 && memory_.plugged_size() == 0;
    if (memory_.committed()) {
      ScheduleAudit(idle ? kIdleAudits * audit_period_ : audit_period_);
    }
  });
}

void MemDevice::NotifyConfig() {
  if (events_ != nullptr) events_->NotifyConfig();
}

absl::Status MemDevice::Resize(uint64_t requested) {
  const absl::Status status = blocks_.Resize(requested);
  if (!status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    status_.last_resize = Clock::now();
  }
  NotifyConfig();
  return status;
}

void MemDevice::ClearFaults() {
  faults_.Clear();
  NotifyConfig();
}

MemDevice::Status MemDevice::status() const {
  Status status;
  {
    const std::lock_guard lock(mutex_);
    status = status_;
  }
  status.config = blocks_.config();
  status.driver = driver_;
  status.faults = faults_.faults();
  return status;
}

}  // namespace kvmlet::virtio
