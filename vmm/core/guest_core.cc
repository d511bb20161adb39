// SPDX-License-Identifier: Apache-2.0
#include "vmm/core/guest_core.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/replaced_file.h"
#include "vmm/base/status_macros.h"
#include "vmm/core/memory_copier.h"
#include "vmm/core/virtual_segments.h"
#include "vmm/memory/populated.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;
// More program headers than ELF counts without an extension.
constexpr uint64_t kMostSegments = PN_XNUM - 1;
// Program headers for what unreadable pages cut apart.
constexpr uint64_t kSpareSegments = 64;
constexpr uint64_t kMostVirtualSegments = 40'000;
// A guest's note is one of its pages, and a bit, of at most 64 KiB.
constexpr uint64_t kMostVmcoreinfo = 68 << 10;
constexpr char kVmcoreinfo[] = "VMCOREINFO";
constexpr char kVmcoreinfoStart[] = "OSRELEASE=";

constexpr uint64_t Up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

std::span<const std::byte> BytesOf(const auto& value) {
  return std::as_bytes(std::span(&value, 1));
}

void AppendPadded(std::vector<std::byte>& out,
                  std::span<const std::byte> data) {
  out.insert(out.end(), data.begin(), data.end());
  out.resize(Up(out.size(), 4));
}

void AppendNote(std::vector<std::byte>& out, const std::string& name,
                uint32_t type, std::span<const std::byte> data) {
  const Elf64_Nhdr header{.n_namesz = static_cast<Elf64_Word>(name.size() + 1),
                          .n_descsz = static_cast<Elf64_Word>(data.size()),
                          .n_type = type};
  AppendPadded(out, BytesOf(header));
  AppendPadded(out, std::as_bytes(std::span(name.c_str(), name.size() + 1)));
  AppendPadded(out, data);
}

// Memory that is in the file, and where it comes from.
struct Source {
  RamRegion region;
  PageOrigin origin;
};

PageOrigin OriginOf(const DeviceMemory& device) {
  const BackingOptions& backing = device.backing();
  return {
      .fd = device.fd(),
      .page_size = BackingPageSize(backing.kind),
      .discards_to_zero = backing.kind != BackingKind::kFile || backing.shared};
}

std::vector<Source> Sources(const GuestMemory& memory) {
  std::vector<Source> sources;
  for (const RamRegion& region : memory.regions()) {
    sources.push_back(
        {.region = region,
         .origin = {.fd = memory.fd(),
                    .page_size = memory.page_size(),
                    .discards_to_zero = memory.discards_to_zero()}});
  }
  for (const auto& device : memory.devices()) {
    for (const BlockRun& run : device->PluggedRuns()) {
      sources.push_back({.region = device->Part(run.first, run.count),
                         .origin = OriginOf(*device)});
    }
  }
  return sources;
}

// The memory of the file, which has the sources one after the other.
std::vector<CoreRange> Ranges(const std::vector<Source>& sources) {
  std::vector<CoreRange> ranges;
  uint64_t offset = 0;
  for (const Source& source : sources) {
    ranges.push_back({.base = source.region.base,
                      .size = source.region.size,
                      .offset = offset});
    offset += source.region.size;
  }
  std::ranges::sort(ranges, {}, &CoreRange::base);
  return ranges;
}

bool IsZero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} &&
          std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

class Writer {
 public:
  Writer(const GuestCore& core, ReplacedFile output, MemoryCopier copier)
      : core_(core), output_(std::move(output)), copier_(std::move(copier)) {}

  absl::StatusOr<GuestCoreSummary> Write(const std::string& path);

 private:
  absl::Status WriteSource(const Source& source);
  absl::Status WritePages(Gpa at, uint64_t offset, std::span<std::byte> bytes);
  void LookForVmcoreinfo(const Source& source, uint64_t offset,
                         std::span<const std::byte> bytes);
  void LeaveOut(const Source& source, uint64_t offset);
  void AddSegment(Gpa at, uint64_t offset, uint64_t size);
  absl::Status WriteHeaders(uint64_t notes_room);

  const GuestCore& core_;
  ReplacedFile output_;
  const MemoryCopier copier_;
  GuestCoreSummary summary_;
  uint64_t source_offset_ = 0;  // in the file, of the source under way
  uint64_t segment_start_ = 0;  // in that source
  uint64_t notes_offset_ = 0;
  uint64_t spare_segments_ = kSpareSegments;
  std::vector<Elf64_Phdr> segments_;
  std::vector<Elf64_Phdr> virtual_segments_;
  std::vector<std::byte> notes_;
};

void Writer::AddSegment(Gpa at, uint64_t offset, uint64_t size) {
  if (size == 0) return;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_W | PF_X;
  segment.p_offset = offset;
  if (core_.paging && core_.mappings.empty()) segment.p_vaddr = at.value;
  segment.p_paddr = at.value;
  segment.p_filesz = size;
  segment.p_memsz = size;
  segments_.push_back(segment);
}

// The page ends a segment, unless there are too many: then it reads as zeroes.
void Writer::LeaveOut(const Source& source, uint64_t offset) {
  summary_.unreadable += kPage;
  const uint64_t before = offset - segment_start_;
  if (before > 0 && spare_segments_ == 0) return;
  if (before > 0) --spare_segments_;
  AddSegment(source.region.base + segment_start_,
             source_offset_ + segment_start_, before);
  segment_start_ = offset + kPage;
}

// The guest has it at the start of one of its pages, as a note.
void Writer::LookForVmcoreinfo(const Source& source, uint64_t offset,
                               std::span<const std::byte> bytes) {
  constexpr uint64_t kName = Up(sizeof(kVmcoreinfo), 4);
  constexpr uint64_t kStart = sizeof(kVmcoreinfoStart) - 1;
  for (uint64_t at = 0; at + kPage <= bytes.size(); at += kPage) {
    const std::byte* const page = bytes.data() + at;
    Elf64_Nhdr header;
    std::memcpy(&header, page, sizeof(header));
    const std::byte* const name = page + sizeof(header);
    if (header.n_namesz != sizeof(kVmcoreinfo) || header.n_type != 0 ||
        header.n_descsz < kStart || header.n_descsz > kMostVmcoreinfo ||
        std::memcmp(name, kVmcoreinfo, sizeof(kVmcoreinfo)) != 0 ||
        std::memcmp(name + kName, kVmcoreinfoStart, kStart) != 0) {
      continue;
    }
    const uint64_t text = offset + at + sizeof(header) + kName;
    if (header.n_descsz > source.region.size - text) continue;
    // Into the same buffer: `bytes` is gone.
    const auto copy = copier_.Copy(source.region.host + text, header.n_descsz);
    if (copy.size() < header.n_descsz) return;
    AppendNote(notes_, kVmcoreinfo, 0, copy);
    summary_.vmcoreinfo = true;
    return;
  }
}

// Stretches of pages that are not zero, one write each.
absl::Status Writer::WritePages(Gpa at, uint64_t offset,
                                std::span<std::byte> bytes) {
  if (core_.hide) core_.hide(at, bytes);
  const auto page = [&](uint64_t from) {
    return bytes.subspan(from, std::min(kPage, bytes.size() - from));
  };
  uint64_t from = 0;
  while (from < bytes.size()) {
    uint64_t to = from;
    while (to < bytes.size() && !IsZero(page(to))) to += kPage;
    to = std::min<uint64_t>(to, bytes.size());
    KVMLET_RETURN_IF_ERROR(
        output_.WriteAt(offset + from, bytes.subspan(from, to - from)));
    summary_.written += to - from;
    from = to + kPage;
  }
  return absl::OkStatus();
}

absl::Status Writer::WriteSource(const Source& source) {
  const RamRegion& region = source.region;
  segment_start_ = 0;
  for (const PopulatedRun& run : PopulatedRuns(region, source.origin)) {
    const uint64_t end = run.offset + run.size;
    uint64_t at = run.offset;
    while (at < end) {
      const std::span<std::byte> bytes =
          copier_.Copy(region.host + at, end - at);
      // Whole pages; what is left of one that cannot be read goes with it.
      const auto whole = bytes.first(bytes.size() / kPage * kPage);
      KVMLET_RETURN_IF_ERROR(
          WritePages(region.base + at, source_offset_ + at, whole));
      if (!summary_.vmcoreinfo) LookForVmcoreinfo(source, at, whole);
      at += whole.size();
      if (whole.empty()) {
        LeaveOut(source, at);
        at += kPage;
      }
    }
  }
  AddSegment(region.base + segment_start_, source_offset_ + segment_start_,
             region.size - segment_start_);
  return absl::OkStatus();
}

absl::Status Writer::WriteHeaders(uint64_t notes_room) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = core_.machine;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(header);
  header.e_ehsize = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum =
      static_cast<Elf64_Half>(segments_.size() + virtual_segments_.size() + 1);
  Elf64_Phdr notes{};
  notes.p_type = PT_NOTE;
  notes.p_offset = notes_offset_;
  notes.p_filesz = notes_.size();
  notes.p_align = 4;
  if (notes_.size() > notes_room) {
    return absl::InternalError("a core file's notes outgrew their room");
  }
  // gdb takes the first segment that has an address: the physical ones, which
  // are all at 0 or none, come last.
  segments_.insert(segments_.begin(), virtual_segments_.begin(),
                   virtual_segments_.end());
  segments_.insert(segments_.begin(), notes);
  KVMLET_RETURN_IF_ERROR(output_.WriteAt(0, BytesOf(header)));
  KVMLET_RETURN_IF_ERROR(
      output_.WriteAt(sizeof(header), std::as_bytes(std::span(segments_))));
  return output_.WriteAt(notes_offset_, notes_);
}

absl::StatusOr<GuestCoreSummary> Writer::Write(const std::string& path) {
  const std::vector<Source> sources = Sources(core_.memory);
  const uint64_t fixed = sources.size() + 1 + kSpareSegments;
  if (fixed > kMostSegments) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "dump ", path, ": the guest's memory is plugged in ", sources.size(),
        " pieces, more than a core file has room for; larger blocks of "
        "--virtio-mem make fewer"));
  }
  virtual_segments_ =
      VirtualSegments(core_.mappings, Ranges(sources),
                      std::min(kMostVirtualSegments, kMostSegments - fixed));
  const uint64_t segments = fixed + virtual_segments_.size();
  for (const arch::CoreNote& note : core_.notes) {
    AppendNote(notes_, note.name, note.type, note.data);
  }
  // Headers and notes come first in the file, and last in time.
  notes_offset_ = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
  const uint64_t notes_room = notes_.size() + kMostVmcoreinfo + kPage;
  source_offset_ = Up(notes_offset_ + notes_room, kPage);
  for (Elf64_Phdr& segment : virtual_segments_) {
    segment.p_offset += source_offset_;
  }
  for (const Source& source : sources) {
    KVMLET_RETURN_IF_ERROR(WriteSource(source));
    source_offset_ += source.region.size;
    summary_.memory += source.region.size;
  }
  KVMLET_RETURN_IF_ERROR(WriteHeaders(notes_room));
  KVMLET_RETURN_IF_ERROR(output_.SetSize(source_offset_));
  KVMLET_RETURN_IF_ERROR(output_.Sync());
  KVMLET_RETURN_IF_ERROR(output_.Finish());
  return summary_;
}

}  // namespace

// The guest's secrets are in it.
absl::StatusOr<ReplacedFile> CreateCoreFile(const std::string& path) {
  return ReplacedFile::Create(path, 0600, absl::StrCat("dump ", path));
}

absl::StatusOr<GuestCoreSummary> WriteGuestCore(const std::string& path,
                                                const GuestCore& core) {
  KVMLET_ASSIGN_OR_RETURN(ReplacedFile output, CreateCoreFile(path));
  KVMLET_ASSIGN_OR_RETURN(MemoryCopier copier, MemoryCopier::Create());
  return Writer(core, std::move(output), std::move(copier)).Write(path);
}

}  // namespace kvmlet
