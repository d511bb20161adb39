// SPDX-License-Identifier: Apache-2.0
// Bytes become a passed-through device with a configuration space of its own
// making, and what a guest may do to it: configuration accesses, BAR and table
// accesses, its ROM, resets, and a host that takes the device away or has no
// memory slots left. Whatever comes, no slot lies outside the BAR windows, and
// nothing is left in the end.
#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include "devices/pci/pci_root.h"
#include "devices/vfio/vfio_pci.h"
#include "tests/fakes/fake_doorbells.h"
#include "tests/fakes/fake_interrupts.h"
#include "tests/fakes/fake_vfio.h"
#include "vmm/bus/bus.h"

namespace kvmlet::vfio {
namespace {

constexpr uint64_t kEcam = 0xe0000000;
constexpr uint64_t kWindow32 = 0xc0000000;
constexpr uint64_t kWindow64 = 0x800000000;
constexpr uint64_t kWindowSize = 0x1000000;
constexpr int kMaxActions = 128;

// The input, taken from its start; zeroes when it ran out.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  bool empty() const { return bytes_.empty(); }
  template <typename T>
  T Take() {
    T value{};
    const size_t part = std::min(sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data(), part);
    bytes_ = bytes_.subspan(part);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class Harness {
 public:
  explicit Harness(Input& input) : input_(input) {
    const int patches = input_.Take<uint8_t>() % 16;
    for (int i = 0; i < patches; ++i) {
      const size_t at = input_.Take<uint16_t>() % (device_.config.size() - 3);
      device_.SetConfig(at, input_.Take<uint32_t>(), 4);
    }
    const auto flags = input_.Take<uint8_t>();
    device_.no_resize = (flags & 1) != 0;
    device_.can_reset = (flags & 2) == 0;
    if ((flags & 4) != 0) device_.rom.resize(0x1800);
    if ((flags & 8) != 0) mapper_.limit = 1;
    device_.vectors_left = input_.Take<uint8_t>();
    space_ = MakeContainer({.calls = kernel_, .paths = {}, .kvm = &kernel_});
  }

  void Run() {
    auto handle = space_->Open(kernel_.FactsOf(device_), {});
    CHECK(handle.ok()) << handle.status();
    auto host = HostDevice::Create(kernel_, *std::move(handle), "0000:01:10.0");
    CHECK(host.ok()) << host.status();
    auto function = VfioPci::Create(*std::move(host), mapper_, {});
    if (!function.ok()) return;  // a device that PCI does not allow
    function_ = function->get();
    const pci::PciWindows windows{*AddressRange::Make(kEcam, 0x10000000),
                                  *AddressRange::Make(kWindow32, kWindowSize),
                                  *AddressRange::Make(kWindow64, kWindowSize)};
    root_ = *pci::PciRoot::Create(windows, interrupts_, doorbells_,
                                  [](uint32_t, uint32_t) { return 16; });
    CHECK(root_->Add(*std::move(function)).ok());
    for (int i = 0; i < kMaxActions && !input_.empty(); ++i) {
      Act();
      CheckSlots();
    }
    root_.reset();
    CHECK(mapper_.Mapped().empty());
    CHECK_EQ(interrupts_.live_msi_count(), 0u);
    CHECK_EQ(kernel_.files(), 0);
    CHECK(device_.irqs.empty());
  }

 private:
  void Act() {
    std::array<std::byte, 8> bytes{};
    const uint8_t what = input_.Take<uint8_t>();
    const auto data = std::span(bytes).first(size_t{1} << (what >> 6));
    const uint16_t at = input_.Take<uint16_t>();
    StoreLe(input_.Take<uint64_t>(), bytes);
    const auto bar = static_cast<uint8_t>(at & 1 ? 3 : 0);
    const uint64_t offset = (at >> 1) & 0x3fff;
    switch (what & 7) {
      case 0:
        return root_->ReadConfig(0, {1, 0}, at % 4096, data);
      case 1:
      case 2:
        return root_->WriteConfig(0, {1, 0}, at % 4096, data);
      case 3:
        return function_->ReadBar(bar, std::min(offset, 0x3ff8ul), data);
      case 4:
      case 5:
        return function_->WriteBar(bar, std::min(offset, 0x3ff8ul), data);
      case 6:
        return root_->Reset();
      default:
        if (at >= 16) return TouchRom(at, what, data);
        if (at == 1) device_.gone = true;
        if (at == 2) function_->Detach();
        if (at == 3) function_->TrapBars();
        return;
    }
  }

  // Where the guest has it, if it is switched on.
  void TouchRom(uint16_t at, uint8_t what, std::span<std::byte> data) {
    const auto rom = function_->DecodedBar(pci::kRomBar);
    if (!rom) return;
    const uint64_t offset = *rom + at % 0x2800 - kWindow32;
    if ((what & 8) != 0) return root_->aperture32().Write(offset, data);
    root_->aperture32().Read(offset, data);
  }

  void CheckSlots() const {
    for (const auto& [at, size] : mapper_.Mapped()) {
      const bool low = at >= kWindow32 && at + size <= kWindow32 + kWindowSize;
      const bool high = at >= kWindow64 && at + size <= kWindow64 + kWindowSize;
      CHECK(low || high) << "a slot at " << at;
    }
  }

  Input& input_;
  fakes::FakeVfio kernel_;
  fakes::FakeDevice& device_ = kernel_.AddNetwork("0000:01:10.0", 7);
  fakes::FakeMapper mapper_;
  fakes::FakeInterrupts interrupts_;
  fakes::FakeDoorbells doorbells_;
  std::unique_ptr<AddressSpace> space_;
  VfioPci* function_ = nullptr;
  std::unique_ptr<pci::PciRoot> root_;
};

}  // namespace
}  // namespace kvmlet::vfio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    FLAGS_minloglevel = google::GLOG_FATAL;
    return true;
  }();
  (void)quiet;
  kvmlet::vfio::Input input(data, size);
  kvmlet::vfio::Harness(input).Run();
  return 0;
}
