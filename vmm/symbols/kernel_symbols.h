// SPDX-License-Identifier: Apache-2.0
// A kernel's symbols: out of an ELF file's .symtab, or out of the text that
// System.map and /proc/kallsyms are made of; which of them is told by the
// content. Names are looked up by address and addresses by name.
//
// Immutable, thread-safe. The file may be hostile or cut off: every offset is
// checked against its size, every count is bounded by it. Addresses are those
// of the file. Errors: BadInput, without the file's name. Specification: ELF
// gABI, "Symbol Table"; nm(1) for the text.
#ifndef KVMLET_VMM_SYMBOLS_KERNEL_SYMBOLS_H_
#define KVMLET_VMM_SYMBOLS_KERNEL_SYMBOLS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "arch/backtrace.h"

namespace kvmlet {

// Bytes of known number, read in pieces: what is not needed stays where it is.
struct SymbolBytes {
  uint64_t size = 0;
  // All of `out`, which lies within the size; false when it cannot be read.
  std::function<bool(uint64_t offset, std::span<std::byte> out)> read;
};

enum class SymbolFormat { kElf, kText };

// By the first bytes alone. `machine` is ELF's number of the guest's
// architecture.
absl::StatusOr<SymbolFormat> RecogniseSymbols(const SymbolBytes& bytes,
                                              uint16_t machine);

// Of letters, digits and signs: whatever a report may print.
bool IsSymbolName(std::string_view name);

class KernelSymbols final : public arch::KernelFile {
 public:
  static absl::StatusOr<std::unique_ptr<KernelSymbols>> Parse(
      const SymbolBytes& bytes, uint16_t machine);
  KernelSymbols(const KernelSymbols&) = delete;
  KernelSymbols& operator=(const KernelSymbols&) = delete;

  SymbolFormat format() const { return format_; }
  std::optional<uint64_t> AddressOf(std::string_view symbol) const override;
  Section FindSection(std::string_view name) const override;

  struct Place {
    std::string_view name;
    std::string_view module{};  // empty for the kernel proper
    uint64_t offset = 0;        // from the symbol's start
    uint64_t size = 0;          // of the symbol
  };
  // The code that this address belongs to; nullopt when there is none.
  std::optional<Place> Find(uint64_t address) const;

 private:
  struct Symbol {
    uint64_t address = 0;
    std::string_view name;  // in text_
    std::string_view module{};
    bool code = false;
    uint8_t rank = 0;  // the lowest is the one to show
  };
  KernelSymbols() = default;
  // elf_symbols.cc.
  absl::Status ParseElf(const SymbolBytes& bytes);
  void AddElfSymbols(std::span<const std::byte> table,
                     const std::vector<bool>& executable);
  absl::Status ParseText(const SymbolBytes& bytes);
  absl::Status AddLine(std::string_view line);
  absl::Status Finish();

  SymbolFormat format_ = SymbolFormat::kElf;
  std::vector<char> text_;  // .strtab, or the whole text
  std::vector<Symbol> by_name_;
  std::vector<Symbol> by_address_;  // code only, one an address
  struct KeptSection {
    uint64_t address = 0;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, KeptSection, std::less<>> sections_;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_SYMBOLS_KERNEL_SYMBOLS_H_
