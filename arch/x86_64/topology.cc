// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/topology.h"

#include <bit>

#include "arch/arch.h"

namespace kvmlet::arch {
namespace x86_64 {
namespace {

uint32_t BitsFor(uint32_t count) {
  return static_cast<uint32_t>(std::bit_width(count - 1));
}

}  // namespace

uint32_t Topology::thread_bits() const { return BitsFor(threads); }

uint32_t Topology::package_bits() const {
  return BitsFor(threads) + BitsFor(cores);
}

uint32_t Topology::ApicId(uint32_t index) const {
  const uint32_t thread = index % threads;
  const uint32_t core = index / threads % cores;
  const uint32_t socket = index / threads / cores;
  return socket << package_bits() | core << thread_bits() | thread;
}

Topology ResolveTopology(const CpuConfig& cpus) {
  return {arch::ResolveTopology(cpus)};
}

}  // namespace x86_64

uint32_t VcpuId(const CpuConfig& cpus, uint32_t index) {
  return x86_64::ResolveTopology(cpus).ApicId(index);
}

}  // namespace kvmlet::arch
