// SPDX-License-Identifier: Apache-2.0
#include "vmm/exits/exit_trace.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet {
namespace {

// The kernel answers without a system call where the host's clock is good.
uint64_t Now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

uint32_t Saturated(uint64_t time) {
  return static_cast<uint32_t>(std::min<uint64_t>(time, UINT32_MAX));
}

// This thread writes, others may look.
void Set(uint64_t& value, uint64_t to) {
  std::atomic_ref(value).store(to, std::memory_order_relaxed);
}

uint64_t Look(uint64_t& value) {
  return std::atomic_ref(value).load(std::memory_order_relaxed);
}

uint64_t Access(bool write, uint64_t size, uint64_t detail) {
  return (write ? 1u << 8 : 0) | (size & 0x7f) << 9 | detail << 16;
}

uint64_t Describe(const kvm_run& run) {
  const uint64_t reason = std::min<uint64_t>(run.exit_reason, kExitReasons - 1);
  switch (run.exit_reason) {
    case KVM_EXIT_MMIO:
      return reason |
             Access(run.mmio.is_write != 0, run.mmio.len, run.mmio.phys_addr);
    case KVM_EXIT_IO:
      return reason | Access(run.io.direction == KVM_EXIT_IO_OUT, run.io.size,
                             run.io.port | uint64_t{run.io.count} << 16);
    case KVM_EXIT_SYSTEM_EVENT:
      return reason | Access(false, 0, run.system_event.type);
    default:
      return reason;
  }
}

// Never the same file again: who reads or writes the old one goes on.
bool IsExitTrace(const std::string& path) {
  ExitTraceHeader header;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd.ok() &&
         ::read(fd.get(), &header, sizeof(header)) == sizeof(header) &&
         std::string_view(header.magic, sizeof(header.magic)) ==
             kExitTraceMagic;
}

absl::StatusOr<UniqueFd> CreateFile(const std::string& path, uint64_t bytes) {
  const std::string what = absl::StrCat("--trace-exits ", path);
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0) {
    if (!S_ISREG(st.st_mode)) {
      return BadInput(
          absl::StrCat(what, ": not a regular file; name one, or a new one"));
    }
    if (st.st_size != 0 && !IsExitTrace(path)) {
      return BadInput(absl::StrCat(
          what,
          ": the file is there and is no trace; name another, or remove "
          "it"));
    }
    if (::unlink(path.c_str()) != 0) return PosixError(errno, what);
  }
  UniqueFd fd(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.ok()) return PosixError(errno, what);
  // A mapped page that cannot be stored would end the process.
  const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  if (error == 0) return fd;
  ::unlink(path.c_str());
  return OsRefused(
      error, absl::StrCat(what, ": ", bytes >> 10, " KiB, as size= sets it"));
}

}  // namespace

ExitRecorder::ExitRecorder(std::span<std::byte> part, uint64_t capacity,
                           uint64_t start)
    : head_(*new (part.data()) ExitTraceVcpu{}),
      ring_(part.subspan(kExitTracePage, capacity * sizeof(ExitRecord)).data()),
      capacity_(capacity),
      start_(start) {}

void ExitRecorder::Enter() { entered_ = Now(); }

void ExitRecorder::Interrupted() {
  const uint64_t now = Now();
  guest_ += now - entered_;
  entered_ = now;
}

void ExitRecorder::Exit(const kvm_run& run) {
  left_ = Now();
  guest_ += left_ - entered_;
  // What handles the exit may change the page.
  what_ = Describe(run);
}

void ExitRecorder::Handled() {
  entered_ = Now();
  const uint64_t monitor = entered_ - left_;
  const uint64_t guest = std::exchange(guest_, 0);
  const ExitRecord record{.time = left_ - start_,
                          .monitor = Saturated(monitor),
                          .guest = Saturated(guest),
                          .what = what_};
  std::memcpy(ring_ + next_ * sizeof(record), &record, sizeof(record));
  if (++next_ == capacity_) next_ = 0;
  ExitTotals& totals = head_.totals[what_ & 0xff];
  Set(totals.count, totals.count + 1);
  Set(totals.monitor, totals.monitor + monitor);
  Set(totals.monitor_max, std::max(totals.monitor_max, monitor));
  Set(totals.guest, totals.guest + guest);
  Set(totals.guest_max, std::max(totals.guest_max, guest));
  // A reader of the file sees no record before it is there.
  std::atomic_ref(head_.written)
      .store(head_.written + 1, std::memory_order_release);
}

ExitTotals ExitRecorder::Totals(size_t reason) const {
  ExitTotals& totals = head_.totals[reason];
  return {.count = Look(totals.count),
          .monitor = Look(totals.monitor),
          .monitor_max = Look(totals.monitor_max),
          .guest = Look(totals.guest),
          .guest_max = Look(totals.guest_max)};
}

absl::StatusOr<std::unique_ptr<ExitTrace>> ExitTrace::Create(
    const std::string& path, uint64_t bytes, uint32_t vcpus) {
  const uint64_t capacity = ExitTraceCapacity(bytes, vcpus);
  const uint64_t size = ExitTraceBytes(vcpus, capacity);
  KVMLET_ASSIGN_OR_RETURN(UniqueFd fd, CreateFile(path, size));
  absl::StatusOr<MappedRegion> file =
      MappedRegion::Map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (!file.ok()) {
    // Some file systems cannot.
    ::unlink(path.c_str());
    return Prefixed(absl::StrCat("--trace-exits ", path), file.status());
  }
  return std::unique_ptr<ExitTrace>(
      new ExitTrace(std::move(fd), *std::move(file), vcpus, capacity));
}

ExitTrace::ExitTrace(UniqueFd fd, MappedRegion file, uint32_t vcpus,
                     uint64_t capacity)
    : fd_(std::move(fd)),
      file_(std::move(file)),
      start_(Now()),
      header_(*new (file_.data()) ExitTraceHeader{}) {
  const uint64_t stride = ExitTraceStride(capacity);
  for (uint32_t i = 0; i < vcpus; ++i) {
    recorders_.push_back(std::make_unique<ExitRecorder>(
        file_.bytes().subspan(kExitTracePage + i * stride, stride), capacity,
        start_));
  }
  header_ = {.version = kExitTraceVersion,
             .vcpus = vcpus,
             .capacity = capacity,
             .record_size = sizeof(ExitRecord),
             .reasons = kExitReasons,
             .realtime = Now(CLOCK_REALTIME)};
  // Last: until now it is none.
  std::ranges::copy(kExitTraceMagic, header_.magic);
}

ExitTrace::~ExitTrace() {
  for (size_t i = 0; i < recorders_.size(); ++i) GiveBack(i);
  header_.end = std::max<uint64_t>(Now() - start_, 1);
}

void ExitTrace::GiveBack(size_t vcpu) const {
  const uint64_t stride = ExitTraceStride(header_.capacity);
  const uint64_t part = kExitTracePage + vcpu * stride;
  ExitTraceVcpu head{};
  std::memcpy(&head, file_.data() + part, sizeof(head));
  const uint64_t used = std::min(head.written, header_.capacity);
  const uint64_t kept = ExitTraceStride(used);
  if (kept >= stride) return;
  // Some file systems cannot, and keep it.
  ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(part + kept),
              static_cast<off_t>(stride - kept));
}

}  // namespace kvmlet
