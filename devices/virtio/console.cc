// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/console.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kvmlet::virtio {
namespace {

// Virtio 1.2, 5.3.3 "Feature bits".
constexpr uint64_t kFeatureMultiport = 1ull << 1;

// Virtio 1.2, 5.3.2 "Virtqueues": 0 and 1 are port 0's, 2 and 3 carry control
// messages, and every further port adds two.
constexpr uint16_t kControlReceive = 2;
constexpr uint16_t kControlTransmit = 3;
constexpr uint16_t kQueueSize = 64;

constexpr uint16_t ReceiveQueue(uint32_t port) {
  return static_cast<uint16_t>(port == 0 ? 0 : 2 + port * 2);
}

// Virtio 1.2, 5.3.6.2 "Multiport Device Operation".
struct ControlHeader {
  uint32_t port;
  uint16_t event;
  uint16_t value;
};
static_assert(sizeof(ControlHeader) == 8);
enum Event : uint16_t {
  kDeviceReady = 0,
  kDeviceAdd = 1,
  kPortReady = 3,
  kConsolePort = 4,
  kPortOpen = 6,
  kPortName = 7,
};

constexpr size_t kInputLimit = 4096;   // bytes held for a port
constexpr size_t kControlLimit = 256;  // messages held for the driver
// Then others on the loop get a turn. A hostile chain holds up to 4 GiB.
constexpr int kChainsPerTurn = 128;
constexpr size_t kBytesPerTurn = 1 << 20;

}  // namespace

std::unique_ptr<ConsoleDevice> ConsoleDevice::Create(std::vector<Port> ports,
                                                     EventLoop& loop) {
  return std::unique_ptr<ConsoleDevice>(
      new ConsoleDevice(std::move(ports), loop));
}

ConsoleDevice::ConsoleDevice(std::vector<Port> ports, EventLoop& loop)
    : loop_(loop) {
  for (Port& port : ports) {
    auto state = std::make_unique<PortState>();
    state->config = std::move(port);
    ports_.push_back(std::move(state));
    PortState* raw = ports_.back().get();
    if (raw->config.backend == nullptr) continue;
    raw->config.backend->SetInput([this, raw](std::span<const std::byte> d) {
      return OnBackendInput(*raw, d);
    });
  }
  sizes_.assign(2 + ports_.size() * 2, kQueueSize);
}

ConsoleDevice::~ConsoleDevice() {
  Reset();
  for (const auto& port : ports_) {
    if (port->config.backend != nullptr) port->config.backend->SetInput({});
  }
}

uint64_t ConsoleDevice::device_features() const { return kFeatureMultiport; }

void ConsoleDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  // cols, rows (not offered), max_nr_ports, emerg_wr (not offered).
  std::array<std::byte, 12> config{};
  const auto count = static_cast<uint32_t>(ports_.size());
  std::memcpy(config.data() + 4, &count, sizeof(count));
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t at = offset + i;
    data[i] = at < config.size() ? config[at] : std::byte{0};
  }
}

size_t ConsoleDevice::OnBackendInput(PortState& port,
                                     std::span<const std::byte> data) {
  size_t taken = 0;
  {
    const std::lock_guard lock(port.mutex);
    taken = std::min(kInputLimit - port.input.size(), data.size());
    port.input.insert(port.input.end(), data.begin(),
                      data.begin() + static_cast<ptrdiff_t>(taken));
    port.starved = taken < data.size();
  }
  const auto index = static_cast<uint32_t>(
      std::find_if(ports_.begin(), ports_.end(),
                   [&port](const auto& p) { return p.get() == &port; }) -
      ports_.begin());
  if (taken > 0) loop_.Post([this, index] { FlushInput(index); });
  return taken;
}

absl::Status ConsoleDevice::Activate(ActiveState state) {
  absl::Status status;
  loop_.RunSync([this, &state, &status] {
    active_ = std::move(state);
    running_ = true;
    control_.clear();
    for (ActiveQueue& queue : active_.queues) {
      if (!queue.queue) continue;
      const uint16_t index = queue.index;
      status.Update(loop_.Add(queue.kick->get(), EPOLLIN,
                              [this, index](uint32_t) { OnKick(index); }));
    }
    Start();
  });
  return status;
}

void ConsoleDevice::Reset() {
  loop_.RunSync([this] {
    if (!running_) return;
    running_ = false;
    for (ActiveQueue& queue : active_.queues) {
      if (queue.queue) loop_.Remove(queue.kick->get());
    }
    for (const auto& port : ports_) {
      port->announced = false;
      port->output.reset();
    }
    active_ = ActiveState();
  });
}

ActiveQueue* ConsoleDevice::Queue(uint16_t index) {
  if (!running_ || index >= active_.queues.size()) return nullptr;
  ActiveQueue& queue = active_.queues[index];
  return queue.queue && !queue.queue->broken() ? &queue : nullptr;
}

void ConsoleDevice::Start() {
  if ((active_.features & kFeatureMultiport) == 0) {
    ports_[0]->announced = ports_[0]->config.console;
    FlushInput(0);
  }
}

void ConsoleDevice::OnKick(uint16_t index) {
  ActiveQueue* queue = Queue(index);
  if (queue == nullptr) return;
  queue->kick->Consume();
  if (index == kControlReceive) return FlushControl();
  if (index == kControlTransmit) return HandleControl(*queue);
  const uint32_t port = index < 2 ? 0 : (index - 2u) / 2;
  if (index % 2 == 0) {
    FlushInput(port);
  } else {
    HandleOutput(port, *queue);
  }
}

void ConsoleDevice::Finish(ActiveQueue& queue, bool used) {
  if (queue.queue->broken()) {
    active_.events->SetNeedsReset(queue.queue->error());
  } else if (used && queue.queue->ShouldNotify()) {
    active_.events->NotifyQueue(queue.index);
  }
}

void ConsoleDevice::HandleOutput(uint32_t port, ActiveQueue& queue) {
  PortState& state = *ports_[port];
  int chains = kChainsPerTurn;
  size_t bytes = kBytesPerTurn;
  bool used = false;
  while (chains > 0 && bytes > 0) {
    if (!state.output) state.output = queue.queue->Pop();
    if (!state.output) break;
    bytes -= WriteOut(state, bytes);
    if (state.output->reader().remaining() > 0) break;
    queue.queue->Push(state.output->head(), 0);
    state.output.reset();
    used = true;
    --chains;
  }
  if (chains == 0 || bytes == 0) queue.kick->Signal();
  Finish(queue, used);
}

// Moves up to so many bytes of the chain in hand; returns how many.
size_t ConsoleDevice::WriteOut(PortState& state, size_t limit) {
  std::array<std::byte, 1024> chunk;
  Reader& reader = state.output->reader();
  size_t done = 0;
  while (reader.remaining() > 0 && done < limit) {
    const auto part = std::span(chunk).first(
        std::min({size_t{reader.remaining()}, chunk.size(), limit - done}));
    if (!reader.Read(part)) break;
    if (state.config.backend != nullptr) {
      state.config.backend->Write(part);
    } else if (state.config.output) {
      state.config.output(part);
    }
    done += part.size();
  }
  return done;
}

void ConsoleDevice::HandleControl(ActiveQueue& queue) {
  int left = kChainsPerTurn;
  bool used = false;
  while (left-- > 0) {
    std::optional<DescriptorChain> chain = queue.queue->Pop();
    if (!chain) break;
    const auto header = chain->reader().Read<ControlHeader>();
    queue.queue->Push(chain->head(), 0);
    used = true;
    if (header) {
      OnControl({header->port, header->event, header->value, {}});
    } else {
      log_.Warn("control message shorter than its header");
    }
  }
  if (left < 0) queue.kick->Signal();
  Finish(queue, used);
  FlushControl();
}

void ConsoleDevice::OnControl(const Control& message) {
  if (message.event == kDeviceReady) {
    if (message.value != 1) return;
    for (uint32_t i = 0; i < ports_.size(); ++i) {
      if (i == 0 && !ports_[0]->config.console) continue;
      SendControl({i, kDeviceAdd, 1, {}});
    }
    return;
  }
  if (message.port >= ports_.size()) {
    log_.Warn(absl::StrCat("control message for port ", message.port));
    return;
  }
  PortState& port = *ports_[message.port];
  if (message.event != kPortReady || message.value != 1) return;
  port.announced = true;
  if (port.config.console) SendControl({message.port, kConsolePort, 1, {}});
  if (!port.config.name.empty()) {
    SendControl({message.port, kPortName, 1, port.config.name});
  }
  SendControl({message.port, kPortOpen, 1, {}});
  FlushInput(message.port);
}

void ConsoleDevice::SendControl(Control message) {
  if (control_.size() >= kControlLimit) {
    log_.Warn("the driver takes no control messages: one is dropped");
    return;
  }
  control_.push_back(std::move(message));
}

void ConsoleDevice::FlushControl() {
  ActiveQueue* queue = Queue(kControlReceive);
  if (queue == nullptr) return;
  bool used = false;
  while (!control_.empty()) {
    std::optional<DescriptorChain> chain = queue->queue->Pop();
    if (!chain) break;
    const Control& message = control_.front();
    const ControlHeader header{message.port, message.event, message.value};
    Writer& writer = chain->writer();
    if (!writer.Write(header) ||
        !writer.Write(std::as_bytes(std::span(message.text)))) {
      log_.Warn("a control buffer is too small");
    }
    queue->queue->Push(chain->head(), writer.written());
    used = true;
    control_.pop_front();
  }
  Finish(*queue, used);
}

void ConsoleDevice::FlushInput(uint32_t index) {
  PortState& port = *ports_[index];
  ActiveQueue* queue = Queue(ReceiveQueue(index));
  if (queue == nullptr || !port.announced) return;
  bool used = false;
  bool room = false;
  while (true) {
    {
      const std::lock_guard lock(port.mutex);
      if (port.input.empty()) break;
    }
    std::optional<DescriptorChain> chain = queue->queue->Pop();
    if (!chain) break;
    Writer& writer = chain->writer();
    {
      const std::lock_guard lock(port.mutex);
      const size_t n = std::min<size_t>(writer.remaining(), port.input.size());
      if (writer.Write(std::span(port.input).first(n))) {
        port.input.erase(port.input.begin(),
                         port.input.begin() + static_cast<ptrdiff_t>(n));
      }
      room = std::exchange(port.starved, false) || room;
    }
    queue->queue->Push(chain->head(), writer.written());
    used = true;
  }
  Finish(*queue, used);
  if (room && port.config.backend != nullptr) {
    port.config.backend->InputReady();
  }
}

}  // namespace kvmlet::virtio
