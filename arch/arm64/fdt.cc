// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/fdt.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "arch/arm64/layout.h"
#include "arch/common/fdt_writer.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/gic_v2m.h"
#include "devices/platform/pl031.h"
#include "devices/platform/pl061.h"
#include "devices/platform/pvpanic.h"
#include "devices/serial/pl011.h"

namespace kvmlet::arch::arm64 {
namespace {

using Node = FdtWriter::Node;

// Phandles.
constexpr uint32_t kGicHandle = 1;
constexpr uint32_t kMsiHandle = 2;
constexpr uint32_t kClockHandle = 3;
constexpr uint32_t kGpioHandle = 4;
constexpr uint32_t kFirstCpuHandle = 16;
constexpr uint32_t kFirstCacheHandle = 0x10000;

// Interrupt specifiers, bindings/interrupt-controller/arm,gic.yaml.
constexpr uint32_t kSpi = 0;
constexpr uint32_t kPpi = 1;
constexpr uint32_t kLevelHigh = 4;

// PCI address space codes, IEEE 1275 PCI binding, 2.2.1.1.
constexpr uint32_t kPciMemory32 = 0x02000000;
// Prefetchable: the bridge registers that a plain window would have to fit
// end at 4 GiB, and Linux warns of one that is larger.
constexpr uint32_t kPciMemory64 = 0x43000000;

constexpr uint32_t kPowerKey = 116;  // KEY_POWER

AddressRange Range(uint64_t base, uint64_t size) {
  return *AddressRange::Make(base, size);
}

// A GICv2 names the CPUs that take a private interrupt in its flags.
uint32_t PpiFlags(const FdtMachine& machine) {
  if (machine.gic != GicKind::kV2) return kLevelHigh;
  const auto cpus = static_cast<uint32_t>(machine.cpus.size());
  return ((1u << std::min(cpus, 8u)) - 1) << 8 | kLevelHigh;
}

bool HasNuma(const FdtMachine& machine) { return !machine.distances.empty(); }

void WriteChosen(FdtWriter& fdt, const FdtMachine& machine) {
  const Node node = fdt.Child("chosen");
  fdt.Text("bootargs", machine.command_line);
  fdt.Text("stdout-path", absl::StrCat("/pl011@", absl::Hex(kUart)));
  if (machine.initrd) {
    fdt.Number64("linux,initrd-start", machine.initrd->base());
    fdt.Number64("linux,initrd-end", machine.initrd->last() + 1);
  }
  if (machine.efi) {
    fdt.Number64("linux,uefi-system-table", machine.efi->system_table.value);
    fdt.Number64("linux,uefi-mmap-start", machine.efi->memory_map.value);
    fdt.Cell("linux,uefi-mmap-size", machine.efi->memory_map_size);
    fdt.Cell("linux,uefi-mmap-desc-size", kEfiDescriptorSize);
    fdt.Cell("linux,uefi-mmap-desc-ver", kEfiDescriptorVersion);
    // Debian's and Ubuntu's kernels want it as well.
    fdt.Cell("linux,uefi-secure-boot", kEfiSecureBootDisabled);
  }
  fdt.Number64("kaslr-seed", machine.kaslr_seed);
  fdt.Data("rng-seed", machine.rng_seed);
}

void WriteMemory(FdtWriter& fdt, const FdtMachine& machine) {
  for (const FdtMemory& memory : machine.memory) {
    const Node node = fdt.Child("memory", memory.range.base());
    fdt.Text("device_type", "memory");
    fdt.Ranges("reg", {memory.range});
    if (HasNuma(machine)) fdt.Cell("numa-node-id", memory.node);
  }
}

void WriteDistances(FdtWriter& fdt, const FdtMachine& machine) {
  if (!HasNuma(machine)) return;
  const Node node = fdt.Child("distance-map");
  fdt.Text("compatible", "numa-distance-map-v1");
  std::vector<uint32_t> triplets;
  for (uint32_t i = 0; i < machine.distances.size(); ++i) {
    for (uint32_t j = 0; j < machine.distances[i].size(); ++j) {
      triplets.insert(triplets.end(), {i, j, machine.distances[i][j]});
    }
  }
  fdt.Cells("distance-matrix", triplets);
}

// bindings/cpu/cpu-topology.txt: sockets hold cores, cores hold threads if
// there are several.
void WriteCpuMap(FdtWriter& fdt, const FdtMachine& machine) {
  const Node map = fdt.Child("cpu-map");
  const auto& cpus = machine.cpus;
  for (size_t i = 0; i < cpus.size();) {
    const uint32_t socket = cpus[i].socket;
    const Node socket_node = fdt.Child(absl::StrCat("socket", socket));
    const Node cluster = fdt.Child("cluster0");
    while (i < cpus.size() && cpus[i].socket == socket) {
      const uint32_t core = cpus[i].core;
      const Node core_node = fdt.Child(absl::StrCat("core", core));
      for (;
           i < cpus.size() && cpus[i].socket == socket && cpus[i].core == core;
           ++i) {
        const auto handle = kFirstCpuHandle + static_cast<uint32_t>(i);
        if (machine.threads_per_core == 1) {
          fdt.Cell("cpu", handle);
        } else {
          const Node thread = fdt.Child(absl::StrCat("thread", cpus[i].thread));
          fdt.Cell("cpu", handle);
        }
      }
    }
  }
}

// A unified cache for each socket. KVM lets CLIDR_EL1 tell of one or two
// levels; without a node for the second, Linux warns that it cannot detect the
// hierarchy.
void WriteCaches(FdtWriter& fdt, const FdtMachine& machine) {
  std::set<uint32_t> sockets;
  for (const FdtCpu& cpu : machine.cpus) sockets.insert(cpu.socket);
  for (const uint32_t socket : sockets) {
    const Node cache = fdt.Child(absl::StrCat("l2-cache", socket));
    fdt.Text("compatible", "cache");
    fdt.Cell("cache-level", 2);
    fdt.Flag("cache-unified");
    fdt.Cell("phandle", kFirstCacheHandle + socket);
  }
}

void WriteCpus(FdtWriter& fdt, const FdtMachine& machine) {
  const Node node = fdt.Child("cpus");
  const bool wide = std::any_of(
      machine.cpus.begin(), machine.cpus.end(),
      [](const auto& c) { return (c.mpidr & kMpidrAffinity) > UINT32_MAX; });
  fdt.Cell("#address-cells", wide ? 2 : 1);
  fdt.Cell("#size-cells", 0);
  for (uint32_t i = 0; i < machine.cpus.size(); ++i) {
    const FdtCpu& cpu = machine.cpus[i];
    const uint64_t affinity = cpu.mpidr & kMpidrAffinity;
    const Node cpu_node = fdt.Child("cpu", affinity);
    fdt.Text("device_type", "cpu");
    fdt.Text("compatible", "arm,armv8");
    if (wide) {
      fdt.Number64("reg", affinity);
    } else {
      fdt.Cell("reg", LowCell(affinity));
    }
    if (machine.cpus.size() > 1) fdt.Text("enable-method", "psci");
    if (HasNuma(machine)) fdt.Cell("numa-node-id", cpu.node);
    fdt.Cell("next-level-cache", kFirstCacheHandle + cpu.socket);
    fdt.Cell("phandle", kFirstCpuHandle + i);
  }
  WriteCaches(fdt, machine);
  WriteCpuMap(fdt, machine);
}

void WriteFirmware(FdtWriter& fdt, const FdtMachine& machine) {
  {
    const Node node = fdt.Child("psci");
    fdt.Texts("compatible", {"arm,psci-1.0", "arm,psci-0.2", "arm,psci"});
    fdt.Text("method", "hvc");
  }
  const uint32_t flags = PpiFlags(machine);
  {
    const Node node = fdt.Child("timer");
    fdt.Text("compatible", "arm,armv8-timer");
    fdt.Flag("always-on");
    fdt.Cells("interrupts", {kPpi, kSecureTimerPpi, flags,    //
                             kPpi, kPhysicalTimerPpi, flags,  //
                             kPpi, kVirtualTimerPpi, flags,   //
                             kPpi, kHypTimerPpi, flags});
  }
  if (machine.pmu) {
    const Node node = fdt.Child("pmu");
    fdt.Text("compatible", "arm,armv8-pmuv3");
    fdt.Cells("interrupts", {kPpi, kPmuPpi, flags});
  }
}

void WriteMsiController(FdtWriter& fdt, const FdtMachine& machine) {
  if (machine.gic == GicKind::kV3Its) {
    const Node node = fdt.Child("msi-controller", kGicIts);
    fdt.Text("compatible", "arm,gic-v3-its");
    fdt.Flag("msi-controller");
    fdt.Cell("#msi-cells", 1);
    fdt.Ranges("reg", {Range(kGicIts, kGicItsSize)});
    fdt.Cell("phandle", kMsiHandle);
    return;
  }
  const Node node = fdt.Child("v2m", kGicV2m);
  fdt.Text("compatible", "arm,gic-v2m-frame");
  fdt.Flag("msi-controller");
  fdt.Ranges("reg", {Range(kGicV2m, GicV2m::kSize)});
  fdt.Cell("arm,msi-base-spi", kFirstSpi + kV2mSpi);
  fdt.Cell("arm,msi-num-spis", kV2mSpis);
  fdt.Cell("phandle", kMsiHandle);
}

void WriteGic(FdtWriter& fdt, const FdtMachine& machine) {
  const Node node = fdt.Child("intc", kGicDistributor);
  fdt.Flag("interrupt-controller");
  fdt.Cell("#interrupt-cells", 3);
  fdt.Cell("#address-cells", 2);
  fdt.Cell("#size-cells", 2);
  fdt.Flag("ranges");
  fdt.Cell("phandle", kGicHandle);
  if (machine.gic == GicKind::kV2) {
    fdt.Text("compatible", "arm,cortex-a15-gic");
    fdt.Ranges("reg", {Range(kGicDistributor, 0x1000),
                       Range(kGicCpuInterface, kGicCpuInterfaceSize)});
  } else {
    fdt.Text("compatible", "arm,gic-v3");
    fdt.Ranges("reg", {Range(kGicDistributor, kGicDistributorSize),
                       Range(kGicRedistributors,
                             machine.cpus.size() * kGicRedistributorSize)});
  }
  WriteMsiController(fdt, machine);
}

// The common properties of Arm's PrimeCells. Their identification is given so
// that the guest need not read it, byte by byte.
void WritePrimecell(FdtWriter& fdt, const char* compatible, uint64_t base,
                    uint64_t size, uint32_t id) {
  fdt.Texts("compatible", {compatible, "arm,primecell"});
  fdt.Cell("arm,primecell-periphid", id);
  fdt.Ranges("reg", {Range(base, size)});
}

void WriteSerialAndClock(FdtWriter& fdt) {
  {
    const Node node = fdt.Child("apb-pclk");
    fdt.Text("compatible", "fixed-clock");
    fdt.Cell("#clock-cells", 0);
    fdt.Cell("clock-frequency", 24'000'000);
    fdt.Text("clock-output-names", "clk24mhz");
    fdt.Cell("phandle", kClockHandle);
  }
  {
    const Node node = fdt.Child("pl011", kUart);
    WritePrimecell(fdt, "arm,pl011", kUart, Pl011::kSize, 0x00341011);
    fdt.Cells("interrupts", {kSpi, kUartSpi, kLevelHigh});
    fdt.Cells("clocks", {kClockHandle, kClockHandle});
    fdt.Texts("clock-names", {"uartclk", "apb_pclk"});
  }
  const Node node = fdt.Child("pl031", kRtc);
  WritePrimecell(fdt, "arm,pl031", kRtc, Pl031::kSize, 0x00041031);
  fdt.Cell("clocks", kClockHandle);
  fdt.Text("clock-names", "apb_pclk");
}

void WritePowerButton(FdtWriter& fdt) {
  {
    const Node node = fdt.Child("pl061", kGpio);
    WritePrimecell(fdt, "arm,pl061", kGpio, Pl061::kSize, 0x00041061);
    fdt.Cells("interrupts", {kSpi, kGpioSpi, kLevelHigh});
    fdt.Cell("clocks", kClockHandle);
    fdt.Text("clock-names", "apb_pclk");
    fdt.Flag("gpio-controller");
    fdt.Cell("#gpio-cells", 2);
    fdt.Flag("interrupt-controller");
    fdt.Cell("#address-cells", 0);
    fdt.Cell("#interrupt-cells", 2);
    fdt.Cell("phandle", kGpioHandle);
  }
  const Node keys = fdt.Child("gpio-keys");
  fdt.Text("compatible", "gpio-keys");
  const Node button = fdt.Child("poweroff");
  fdt.Text("label", "Power button");
  fdt.Cell("linux,code", kPowerKey);
  fdt.Cells("gpios", {kGpioHandle, Pl061::kPowerButtonLine, 0});
}

void WriteDoors(FdtWriter& fdt) {
  {
    const Node node = fdt.Child("exit", kExit);
    fdt.Text("compatible", "kvmlet,exit");
    fdt.Ranges("reg", {Range(kExit, ExitDevice::kSize)});
  }
  const Node node = fdt.Child("pvpanic", kPvpanic);
  fdt.Text("compatible", "qemu,pvpanic-mmio");
  fdt.Ranges("reg", {Range(kPvpanic, Pvpanic::kSize)});
}

// The pins of four slots repeat; see Platform::PciInterrupt.
std::vector<uint32_t> InterruptMap() {
  std::vector<uint32_t> map;
  for (uint32_t slot = 0; slot < 4; ++slot) {
    for (uint32_t pin = 1; pin <= 4; ++pin) {
      map.insert(map.end(),
                 {slot << 11, 0, 0, pin, kGicHandle, 0, 0, kSpi,
                  kPciIntxSpi + (slot + pin - 1) % kPciPins, kLevelHigh});
    }
  }
  return map;
}

void WritePci(FdtWriter& fdt, const FdtMachine& machine) {
  const Node node = fdt.Child("pcie", machine.ecam.base());
  fdt.Text("compatible", "pci-host-ecam-generic");
  fdt.Text("device_type", "pci");
  fdt.Cell("#address-cells", 3);
  fdt.Cell("#size-cells", 2);
  fdt.Ranges("reg", {machine.ecam});
  fdt.Cell("linux,pci-domain", 0);
  if (HasNuma(machine)) fdt.Cell("numa-node-id", 0);
  fdt.Cells("bus-range", {0, LowCell(machine.ecam.size() >> 20) - 1});
  fdt.Flag("dma-coherent");
  std::vector<uint32_t> ranges;
  const auto window = [&ranges](uint32_t space, const AddressRange& range) {
    ranges.insert(ranges.end(),
                  {space, HighCell(range.base()), LowCell(range.base()),
                   HighCell(range.base()), LowCell(range.base()),
                   HighCell(range.size()), LowCell(range.size())});
  };
  window(kPciMemory32, machine.mmio32);
  window(kPciMemory64, machine.mmio64);
  fdt.Cells("ranges", ranges);
  if (machine.gic == GicKind::kV3Its) {
    // Every requester id is its own device id.
    fdt.Cells("msi-map", {0, kMsiHandle, 0, 0x10000});
  } else {
    fdt.Cell("msi-parent", kMsiHandle);
  }
  fdt.Cell("#interrupt-cells", 1);
  fdt.Cells("interrupt-map-mask", {3u << 11, 0, 0, 7});
  fdt.Cells("interrupt-map", InterruptMap());
}

}  // namespace

absl::StatusOr<Bytes> BuildFdt(const FdtMachine& machine) {
  FdtWriter fdt(machine.efi ? machine.efi->area : std::nullopt);
  fdt.Text("compatible", "linux,dummy-virt");
  fdt.Text("model", "kvmlet");
  fdt.Cell("#address-cells", 2);
  fdt.Cell("#size-cells", 2);
  fdt.Cell("interrupt-parent", kGicHandle);
  fdt.Flag("dma-coherent");
  WriteChosen(fdt, machine);
  WriteMemory(fdt, machine);
  WriteDistances(fdt, machine);
  WriteCpus(fdt, machine);
  WriteFirmware(fdt, machine);
  WriteGic(fdt, machine);
  WriteSerialAndClock(fdt);
  WritePowerButton(fdt);
  WriteDoors(fdt);
  WritePci(fdt, machine);
  return fdt.Finish();
}

}  // namespace kvmlet::arch::arm64
