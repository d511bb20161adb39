// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/vfio/explain.h"
#include "devices/vfio/hand_over.h"
#include "devices/vfio/lock_limit.h"
#include "devices/vfio/token_source.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unix_socket.h"

namespace kvmlet {
namespace {

// The kernel may take a second to open a device that sleeps or is reset.
constexpr std::chrono::seconds kBrokerWait{20};
// While the guest runs: the main loop does nothing else meanwhile.
constexpr std::chrono::seconds kShortBrokerWait{5};

}  // namespace

absl::StatusOr<std::unique_ptr<Passthrough>> Passthrough::Create(
    const Context& context) {
  if (context.config.balloon) {
    return UsageError(
        "--balloon: passed-through devices hold all of the guest's memory, "
        "nothing of it can be given back; leave --balloon or --vfio out");
  }
  const auto& devices = context.config.vfio;
  const auto from_broker = static_cast<size_t>(std::ranges::count_if(
      devices, [](const VfioConfig& c) { return c.vf.has_value(); }));
  const uint64_t spaces = from_broker + (from_broker < devices.size() ? 1 : 0);
  KVMLET_RETURN_IF_ERROR(vfio::CheckLockLimit(vfio::ReadLockLimit(),
                                              context.memory.size() * spaces));
  std::unique_ptr<Passthrough> made(new Passthrough(context));
  KVMLET_ASSIGN_OR_RETURN(made->kvm_, KvmVfio::Create(context.vm));
  return made;
}

Passthrough::~Passthrough() {
  if (const absl::Status status = UnmapMemory(); !status.ok()) {
    LOG(WARNING) << status;
  }
  for (const auto& device : devices_) {
    if (device->request) context_.loop.Remove(device->request->get());
    if (device->error) context_.loop.Remove(device->error->get());
  }
}

vfio::AddressSpace::Context Passthrough::SpaceContext() const {
  return {.calls = vfio::LinuxCalls(), .paths = {}, .kvm = kvm_.get()};
}

absl::StatusOr<Passthrough::Space*> Passthrough::AddSpace(
    std::unique_ptr<vfio::AddressSpace> space) {
  // The kernel counts what is locked once for each space.
  const uint64_t need = context_.memory.size() * (spaces_.size() + 1);
  KVMLET_RETURN_IF_ERROR(vfio::CheckLockLimit(vfio::ReadLockLimit(), need));
  auto added = std::make_unique<Space>();
  added->space = std::move(space);
  if (memory_is_mapped_) {
    if (absl::Status status = Map(*added); !status.ok()) {
      LOG_IF(WARNING, !Unmap(*added).ok()) << "memory stays mapped";
      return status;
    }
  }
  spaces_.push_back(std::move(added));
  return spaces_.back().get();
}

// Nothing stays of a space whose last device is gone: what a broker handed
// over serves once, and the next device of one's own makes a new one.
void Passthrough::DropIfIdle(Space* space) {
  if (space == nullptr || space->devices > 0) return;
  if (const absl::Status status = Unmap(*space); !status.ok()) {
    LOG(WARNING) << status;
  }
  if (own_space_ == space) own_space_ = nullptr;
  std::erase_if(spaces_, [space](const auto& s) { return s.get() == space; });
}

// What the user says of this device, or of another that shares its space; else
// what the host offers.
bool Passthrough::WantsIommufd(const VfioConfig& config,
                               const vfio::DeviceFacts& facts) const {
  if (config.iommufd) return *config.iommufd;
  const auto& all = context_.config.vfio;
  const auto said = std::ranges::find_if(
      all, [](const VfioConfig& c) { return !c.vf && c.iommufd.has_value(); });
  return said != all.end() ? *said->iommufd : vfio::OnlyIommufd({}, facts);
}

absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> Passthrough::OpenHere(
    const VfioConfig& config, std::string& bdf, Space*& space) {
  KVMLET_ASSIGN_OR_RETURN(bdf, vfio::ParseDeviceName(config.device));
  KVMLET_ASSIGN_OR_RETURN(const vfio::DeviceFacts facts,
                          vfio::ReadFacts({}, bdf));
  KVMLET_RETURN_IF_ERROR(vfio::CheckUsable(facts));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<vfio::Token> given,
                          vfio::ReadToken({.text = config.vf_token,
                                           .file = config.vf_token_file,
                                           .fd = config.vf_token_fd}));
  KVMLET_ASSIGN_OR_RETURN(const vfio::TokenDecision token,
                          vfio::DecideToken(facts, given));
  for (const auto& device : devices_) {
    if (device->bdf == bdf) {
      return absl::AlreadyExistsError(
          absl::StrCat(bdf, ": the guest has it already, as ", device->id));
    }
  }
  if (own_space_ != nullptr && config.iommufd &&
      own_space_->iommufd != *config.iommufd) {
    return UsageError(
        "the devices of a machine share one address space, and there is one "
        "already that is of the other kind; leave iommufd out");
  }
  if (own_space_ == nullptr) {
    const bool iommufd = WantsIommufd(config, facts);
    KVMLET_ASSIGN_OR_RETURN(
        own_space_, AddSpace(iommufd ? vfio::MakeIommufd(SpaceContext())
                                     : vfio::MakeContainer(SpaceContext())));
    own_space_->iommufd = iommufd;
  }
  space = own_space_;
  return space->space->Open(facts, token);
}

absl::StatusOr<std::unique_ptr<vfio::DeviceHandle>> Passthrough::OpenFromBroker(
    const VfioConfig& config, std::string& bdf, Space*& space) {
  const auto wait = memory_is_mapped_ ? kShortBrokerWait : kBrokerWait;
  const std::string path = config.device.substr(config.device.find(':') + 1);
  KVMLET_ASSIGN_OR_RETURN(
      const UniqueFd socket,
      ConnectUnix(path, std::chrono::steady_clock::now() + wait));
  KVMLET_RETURN_IF_ERROR(
      vfio::SendLine(socket.get(), absl::StrCat("take ", *config.vf)));
  KVMLET_ASSIGN_OR_RETURN(vfio::HandedDevice handed,
                          vfio::ReceiveDevice(socket.get(), wait));
  bdf = handed.bdf;
  vfio::DeviceFacts facts;
  facts.bdf = handed.bdf;
  facts.group = handed.group;
  KVMLET_ASSIGN_OR_RETURN(space, AddSpace(vfio::MakeHandedContainer(
                                     SpaceContext(), std::move(handed))));
  return space->space->Open(facts, {});
}

absl::StatusOr<std::unique_ptr<pci::PciDevice>> Passthrough::Open(
    const VfioConfig& config) {
  std::string bdf;
  Space* space = nullptr;
  auto handle = config.vf ? OpenFromBroker(config, bdf, space)
                          : OpenHere(config, bdf, space);
  if (!handle.ok()) {
    DropIfIdle(space);
    return handle.status();
  }
  auto kept = std::make_unique<Device>();
  Device& device = *kept;
  device.id = config.id;
  device.bdf = bdf;
  device.space = space;
  ++space->devices;
  // IOMMUFD maps memory only.
  if (!space->iommufd) peers_.AddDevice(*space->space);
  {
    const std::lock_guard lock(mutex_);
    devices_.push_back(std::move(kept));
  }
  auto function = MakeFunction(device, *std::move(handle), config);
  if (!function.ok()) Forget(config.id);
  return function;
}

absl::StatusOr<std::unique_ptr<pci::PciDevice>> Passthrough::MakeFunction(
    Device& device, std::unique_ptr<vfio::DeviceHandle> handle,
    const VfioConfig& config) {
  KVMLET_ASSIGN_OR_RETURN(
      auto host, vfio::HostDevice::Create(vfio::LinuxCalls(), std::move(handle),
                                          device.bdf));
  KVMLET_ASSIGN_OR_RETURN(device.request, EventFd::Create());
  KVMLET_ASSIGN_OR_RETURN(device.error, EventFd::Create());
  KVMLET_RETURN_IF_ERROR(Watch(device, *host));
  KVMLET_ASSIGN_OR_RETURN(
      auto function,
      vfio::VfioPci::Create(std::move(host), peers_,
                            {.shown = config.rom, .file = config.rom_file}));
  const std::lock_guard lock(mutex_);
  device.function = function.get();
  return function;
}

Passthrough::Device* Passthrough::Find(std::string_view id) {
  const auto it = std::ranges::find_if(
      devices_, [id](const auto& device) { return device->id == id; });
  return it == devices_.end() ? nullptr : it->get();
}

void Passthrough::Detach(std::string_view id) {
  Device* const device = Find(id);
  if (device == nullptr || device->function == nullptr) return;
  device->function->Detach();
  // A vCPU may be on its way here, having met what is now gone.
  const std::lock_guard lock(mutex_);
  retries_.Cleared();
}

void Passthrough::Forget(std::string_view id) {
  Device* const device = Find(id);
  if (device == nullptr) return;
  Detach(id);
  if (device->request) context_.loop.Remove(device->request->get());
  if (device->error) context_.loop.Remove(device->error->get());
  Space* const space = device->space;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(devices_,
                  [device](const auto& d) { return d.get() == device; });
  }
  --space->devices;
  if (!space->iommufd) peers_.RemoveDevice(*space->space);
  DropIfIdle(space);
}

absl::Status Passthrough::Watch(Device& device, vfio::HostDevice& host) {
  struct Source {
    vfio::IrqIndex index;
    const EventFd& event;
    void (Passthrough::*handler)(Device&);
  };
  for (const Source& source :
       {Source{vfio::IrqIndex::kRequest, *device.request,
               &Passthrough::OnRequest},
        Source{vfio::IrqIndex::kError, *device.error, &Passthrough::OnError}}) {
    if (host.irq(source.index).count == 0) continue;
    const int fd = source.event.get();
    const int got = host.SetTriggers(source.index, 0, std::span(&fd, 1));
    if (got != 0) {
      LOG(WARNING) << host.name() << ": the kernel does not report "
                   << (source.index == vfio::IrqIndex::kError
                           ? "errors of it"
                           : "that it is wanted back");
      continue;
    }
    KVMLET_RETURN_IF_ERROR(context_.loop.Add(
        fd, EPOLLIN, [this, &device, handler = source.handler](uint32_t) {
          (this->*handler)(device);
        }));
  }
  return absl::OkStatus();
}

// Whoever takes the device (an unbind, fewer virtual functions) waits in the
// kernel, with a lock that stops all of PCI's hot-plug, until it is let go.
void Passthrough::OnRequest(Device& device) {
  if (!device.request->Consume() || device.function == nullptr) return;
  // A copy: the device may be gone when the call comes back.
  context_.on_request(std::string(device.id));
}

void Passthrough::OnError(Device& device) {
  if (!device.error->Consume()) return;
  LOG(ERROR) << device.id << ": the device reports an uncorrectable error";
  context_.events.Emit("__org.kvmlet_DEVICE_ERROR", {{"device", device.id}});
}

absl::Status Passthrough::Map(Space& space) {
  const auto map = [&space](const RamRegion& region) {
    absl::Status status =
        space.space->Map(region.base.value, region.size, region.host);
    if (status.ok()) space.mapped.push_back(region.base.value);
    return status;
  };
  for (const RamRegion& region : context_.memory.regions()) {
    KVMLET_RETURN_IF_ERROR(map(region));
  }
  // The kernel does not lock pages of most file systems, or of a file that is
  // only read.
  for (const auto& file : context_.memory.files()) {
    const absl::Status status = map(file->region());
    LOG_IF(WARNING, !status.ok())
        << "passed-through devices cannot reach --pmem: " << status.message();
  }
  for (const auto& memory : context_.memory.devices()) {
    auto listener = std::make_unique<DmaMap>(std::span(&space.space, 1),
                                             memory->block_size());
    KVMLET_RETURN_IF_ERROR(memory->AddListener(*listener));
    space.maps.push_back(std::move(listener));
  }
  return absl::OkStatus();
}

absl::Status Passthrough::Unmap(Space& space) {
  for (size_t i = 0; i < space.maps.size(); ++i) {
    context_.memory.devices()[i]->RemoveListener(*space.maps[i]);
  }
  space.maps.clear();
  absl::Status status;
  for (const uint64_t address : space.mapped) {
    status.Update(space.space->Unmap(address));
  }
  space.mapped.clear();
  return status;
}

absl::Status Passthrough::MapMemory() {
  memory_is_mapped_ = true;
  for (const auto& space : spaces_) {
    const absl::Status status = Map(*space);
    if (!status.ok()) return Prefixed("--vfio", status);
  }
  return absl::OkStatus();
}

absl::Status Passthrough::UnmapMemory() {
  memory_is_mapped_ = false;
  absl::Status status;
  for (const auto& space : spaces_) status.Update(Unmap(*space));
  return status;
}

bool Passthrough::OnMemoryFault(uint32_t vcpu) {
  const std::lock_guard lock(mutex_);
  for (const auto& device : devices_) {
    if (device->function == nullptr || !device->function->TrapBars()) continue;
    retries_.Cleared();
    LOG_FIRST_N(WARNING, 10)
        << device->id << ": the guest touched it while the host could not "
        << "reach it; its registers are reached slowly until it is set up anew";
  }
  return retries_.MayRetry(vcpu);
}

}  // namespace kvmlet
