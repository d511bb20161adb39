// SPDX-License-Identifier: Apache-2.0
// A trace of exits in a file of the test's own, written as a vCPU's thread
// writes it, and the file's bytes to be damaged.
#ifndef KVMLET_TESTS_VMM_EXITS_TRACE_FILE_H_
#define KVMLET_TESTS_VMM_EXITS_TRACE_FILE_H_

#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "vmm/exits/exit_trace.h"
#include "vmm/exits/exit_trace_reader.h"

namespace kvmlet {

class TraceFileTest : public testing::Test {
 protected:
  TraceFileTest() {
    std::string name = testing::TempDir() + "exits.XXXXXX";
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ + "/trace";
  }
  ~TraceFileTest() override { std::filesystem::remove_all(folder_); }

  // The smallest: one page of records a vCPU.
  static constexpr uint64_t kCapacity = kExitTracePage / sizeof(ExitRecord);
  void Create(uint32_t vcpus = 1) {
    auto trace =
        ExitTrace::Create(path_, ExitTraceBytes(vcpus, kCapacity), vcpus);
    ASSERT_TRUE(trace.ok()) << trace.status();
    trace_ = *std::move(trace);
  }
  void Exit(const kvm_run& run, uint32_t vcpu = 0) {
    ExitRecorder& recorder = trace_->recorder(vcpu);
    recorder.Enter();
    recorder.Exit(run);
    recorder.Handled();
  }
  static kvm_run Port(uint16_t port) {
    kvm_run run{};
    run.exit_reason = KVM_EXIT_IO;
    run.io = {.direction = KVM_EXIT_IO_OUT,
              .size = 2,
              .port = port,
              .count = 3,
              .data_offset = 0};
    return run;
  }
  static kvm_run Mmio(uint64_t address) {
    kvm_run run{};
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = address;
    run.mmio.len = 4;
    return run;
  }
  void End() { trace_.reset(); }

  ExitTraceData Read() const {
    const auto data = ReadExitTrace(path_);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? *data : ExitTraceData{};
  }
  std::vector<std::byte> Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
  }

  std::string folder_;
  std::string path_;
  std::unique_ptr<ExitTrace> trace_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_EXITS_TRACE_FILE_H_
