// SPDX-License-Identifier: Apache-2.0
#include "vmm/symbols/kernel_symbols.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

// A kernel's text has some ten megabytes.
constexpr uint64_t kMostText = 256 << 20;
// No function is larger.
constexpr uint64_t kLargestFunction = 1 << 20;
// The kernel and each module end with a page of their own. The last function
// of one may be longer than that, which only costs a name.
constexpr uint64_t kPage = 4 << 10;
constexpr size_t kMostDigits = 16;
constexpr size_t kMostLines = 4 << 20;

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F');
}

// "ffffffff81000000 T "
bool LooksLikeText(std::string_view start) {
  size_t digits = 0;
  while (digits < start.size() && IsHex(start[digits])) ++digits;
  return digits > 0 && digits <= kMostDigits && start.size() > digits + 3 &&
         start[digits] == ' ' && start[digits + 2] == ' ';
}

std::string_view TakeWord(std::string_view& line) {
  const size_t start = line.find_first_not_of(" \t\r");
  if (start == line.npos) {
    line = {};
    return {};
  }
  line.remove_prefix(start);
  const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

}  // namespace

bool IsSymbolName(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; });
}

absl::StatusOr<SymbolFormat> RecogniseSymbols(const SymbolBytes& bytes,
                                              uint16_t machine) {
  std::array<std::byte, sizeof(Elf64_Ehdr)> start{};
  const size_t size = std::min<uint64_t>(bytes.size, start.size());
  if (size == 0) return BadInput("the file is empty");
  if (!bytes.read(0, std::span(start).first(size))) {
    return BadInput("it cannot be read");
  }
  if (size < SELFMAG || std::memcmp(start.data(), ELFMAG, SELFMAG) != 0) {
    const auto* const text = reinterpret_cast<const char*>(start.data());
    if (LooksLikeText({text, size})) return SymbolFormat::kText;
    return BadInput(
        "neither an ELF file nor a System.map; give the vmlinux of the build, "
        "or a copy of the guest's /proc/kallsyms");
  }
  Elf64_Ehdr header;
  if (size < sizeof(header)) return BadInput("truncated ELF: no whole header");
  std::memcpy(&header, start.data(), sizeof(header));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != machine) {
    return BadInput(absl::StrCat("an ELF file for machine ", header.e_machine,
                                 ", class ", header.e_ident[EI_CLASS],
                                 "; the guest's kernel is 64-bit, machine ",
                                 machine));
  }
  return SymbolFormat::kElf;
}

absl::StatusOr<std::unique_ptr<KernelSymbols>> KernelSymbols::Parse(
    const SymbolBytes& bytes, uint16_t machine) {
  const absl::StatusOr<SymbolFormat> format = RecogniseSymbols(bytes, machine);
  if (!format.ok()) return format.status();
  auto symbols = std::unique_ptr<KernelSymbols>(new KernelSymbols());
  symbols->format_ = *format;
  absl::Status status = *format == SymbolFormat::kElf
                            ? symbols->ParseElf(bytes)
                            : symbols->ParseText(bytes);
  if (status.ok()) status = symbols->Finish();
  if (!status.ok()) return status;
  return symbols;
}

absl::Status KernelSymbols::ParseText(const SymbolBytes& bytes) {
  if (bytes.size > kMostText)
    return BadInput("too large for a list of symbols");
  text_.resize(bytes.size);
  if (!bytes.read(0, std::as_writable_bytes(std::span(text_)))) {
    return BadInput("it cannot be read");
  }
  std::string_view rest(text_.data(), text_.size());
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const absl::Status status = AddLine(rest.substr(0, end));
    if (!status.ok()) return status;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return absl::OkStatus();
}

// "ADDRESS TYPE NAME", and "[MODULE]" after it in /proc/kallsyms.
absl::Status KernelSymbols::AddLine(std::string_view line) {
  const std::string_view address = TakeWord(line);
  const std::string_view type = TakeWord(line);
  const std::string_view name = TakeWord(line);
  std::string_view module = TakeWord(line);
  if (address.empty()) return absl::OkStatus();
  uint64_t value = 0;
  if (by_name_.size() >= kMostLines) {
    return BadInput("damaged list of symbols: no kernel has so many");
  }
  if (type.size() != 1 || !IsSymbolName(name) ||
      (!module.empty() && !IsSymbolName(module)) ||
      address.size() > kMostDigits ||
      !absl::SimpleHexAtoi(absl::string_view(address.data(), address.size()),
                           &value)) {
    return BadInput(absl::StrCat("damaged list of symbols: symbol ",
                                 by_name_.size() + 1,
                                 " is no line of ADDRESS TYPE NAME"));
  }
  if (module.size() > 2 && module.front() == '[') {
    module = module.substr(1, module.size() - 2);
  }
  const bool code = std::string_view("tTwW").find(type[0]) != type.npos;
  by_name_.push_back({.address = value,
                      .name = name,
                      .module = module,
                      .code = code,
                      .rank = static_cast<uint8_t>(type[0] == 'T' ? 0 : 1)});
  return absl::OkStatus();
}

absl::Status KernelSymbols::Finish() {
  for (const Symbol& symbol : by_name_) {
    if (symbol.code && symbol.address != 0) by_address_.push_back(symbol);
  }
  if (by_address_.empty()) {
    return BadInput(
        format_ == SymbolFormat::kElf
            ? "no symbols of code: a stripped file; give the vmlinux of the "
              "build, or a copy of the guest's /proc/kallsyms"
            : "no addresses of code; copy /proc/kallsyms as root, with "
              "kernel.kptr_restrict=0");
  }
  std::ranges::stable_sort(by_address_, [](const Symbol& a, const Symbol& b) {
    return std::pair(a.address, a.rank) < std::pair(b.address, b.rank);
  });
  // Not std::ranges::unique: clang 14 cannot read what that is made of.
  by_address_.erase(std::unique(by_address_.begin(), by_address_.end(),
                                [](const Symbol& a, const Symbol& b) {
                                  return a.address == b.address;
                                }),
                    by_address_.end());
  // The first of a name is the kernel's own: modules come after it.
  std::ranges::stable_sort(by_name_, {}, &Symbol::name);
  return absl::OkStatus();
}

std::optional<uint64_t> KernelSymbols::AddressOf(
    std::string_view symbol) const {
  const auto found =
      std::ranges::lower_bound(by_name_, symbol, {}, &Symbol::name);
  if (found == by_name_.end() || found->name != symbol) return std::nullopt;
  return found->address;
}

arch::KernelFile::Section KernelSymbols::FindSection(
    std::string_view name) const {
  const auto found = sections_.find(name);
  if (found == sections_.end()) return {};
  return {.address = found->second.address, .bytes = found->second.bytes};
}

std::optional<KernelSymbols::Place> KernelSymbols::Find(
    uint64_t address) const {
  const auto after =
      std::ranges::upper_bound(by_address_, address, {}, &Symbol::address);
  if (after == by_address_.begin()) return std::nullopt;
  const Symbol& symbol = *std::prev(after);
  const uint64_t page_end = kPage - symbol.address % kPage;
  uint64_t size = page_end;
  if (after != by_address_.end()) {
    size = after->address - symbol.address;
    const bool last = after->module != symbol.module;
    size = std::min(size, last ? page_end : kLargestFunction);
  }
  const uint64_t offset = address - symbol.address;
  if (offset >= size) return std::nullopt;
  return Place{.name = symbol.name,
               .module = symbol.module,
               .offset = offset,
               .size = size};
}

}  // namespace kvmlet
