// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/virtio_mem_spec.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::cli {
namespace {

constexpr char kFlag[] = "--virtio-mem";

absl::Status Wrong(const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(kFlag, ": ", text));
}

// A key that is there has a value.
absl::Status TakeText(SpecParser& spec, std::string_view key,
                      std::string& out) {
  const std::optional<std::string> text = spec.Take(key);
  if (text && text->empty()) {
    return Wrong(absl::StrCat(std::string(key),
                              "= is empty; give it a value, or leave it out"));
  }
  out = text.value_or("");
  return absl::OkStatus();
}

absl::Status SetKind(const std::string& pages, BackingOptions& backing) {
  if (!pages.empty() && !backing.file.empty()) {
    return Wrong("hugepages= and file= exclude each other");
  }
  if (pages == "2M") {
    backing.kind = BackingKind::kHugetlb2M;
  } else if (pages == "1G") {
    backing.kind = BackingKind::kHugetlb1G;
  } else if (!pages.empty()) {
    return Wrong(absl::StrCat("hugepages '", pages, "' is not 2M or 1G"));
  } else if (!backing.file.empty()) {
    backing.kind = BackingKind::kFile;
    backing.shared = true;
  } else if (backing.shared) {
    backing.kind = BackingKind::kMemfd;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VirtioMemConfig> ParseVirtioMem(std::string_view text) {
  VirtioMemConfig mem;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse(kFlag, text, false));
  KVMLET_RETURN_IF_ERROR(TakeText(spec, "id", mem.id));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> max,
                          spec.TakeSize("max"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> size,
                          spec.TakeSize("size"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> block,
                          spec.TakeSize("block"));
  KVMLET_ASSIGN_OR_RETURN(const std::optional<uint64_t> node,
                          spec.TakeNumber("node", 0, 63));
  std::string pages;
  KVMLET_RETURN_IF_ERROR(TakeText(spec, "hugepages", pages));
  KVMLET_RETURN_IF_ERROR(TakeText(spec, "file", mem.backing.file));
  KVMLET_ASSIGN_OR_RETURN(mem.backing.shared, spec.TakeBool("shared"));
  KVMLET_ASSIGN_OR_RETURN(mem.backing.prealloc, spec.TakeBool("prealloc"));
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if (!max) return Wrong("max= is missing; give the most it may have, max=8G");
  mem.max = *max;
  mem.size = size.value_or(0);
  if (block && *block == 0) return Wrong("block=0 is no size; leave it out");
  mem.block = block.value_or(0);
  if (node) mem.node = static_cast<uint32_t>(*node);
  KVMLET_RETURN_IF_ERROR(SetKind(pages, mem.backing));
  return mem;
}

}  // namespace kvmlet::cli
