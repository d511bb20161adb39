// SPDX-License-Identifier: Apache-2.0
// Writes a flattened device tree, node by node, with libfdt. The first error
// sticks and comes out of Finish, so that a description reads like the tree.
// Not thread-safe; numbers are given in host order.
// Specification: Devicetree Specification 0.4, chapters 2 and 5.
#ifndef KVMLET_ARCH_COMMON_FDT_WRITER_H_
#define KVMLET_ARCH_COMMON_FDT_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "arch/common/bytes.h"
#include "vmm/bus/address_range.h"

namespace kvmlet::arch {

class FdtWriter {
 public:
  // The root node is open. `reserved` is memory that a kernel leaves alone.
  explicit FdtWriter(std::optional<AddressRange> reserved = std::nullopt);

  // A child of the open node; it ends with the scope of what is returned.
  class [[nodiscard]] Node {
   public:
    Node(Node&& other) : writer_(std::exchange(other.writer_, nullptr)) {}
    ~Node();

   private:
    friend class FdtWriter;
    explicit Node(FdtWriter* writer) : writer_(writer) {}
    FdtWriter* writer_;
  };
  Node Child(const std::string& name);
  // "NAME@ADDRESS".
  Node Child(std::string_view name, uint64_t address);

  void Flag(const char* name);
  void Text(const char* name, std::string_view text);
  void Texts(const char* name, std::initializer_list<std::string_view> texts);
  void Cells(const char* name, std::span<const uint32_t> cells);
  void Cells(const char* name, std::initializer_list<uint32_t> cells);
  void Cell(const char* name, uint32_t cell) { Cells(name, {cell}); }
  void Number64(const char* name, uint64_t number);
  // Address and size of two cells each.
  void Ranges(const char* name, std::initializer_list<AddressRange> ranges);
  void Data(const char* name, std::span<const std::byte> bytes);

  // Closes the root; the writer is used up.
  absl::StatusOr<Bytes> Finish();

 private:
  // Repeats the step with a larger buffer for as long as libfdt wants one.
  void Do(const std::function<int()>& step);

  Bytes buffer_;
  int error_ = 0;
};

// The two cells of a 64-bit number.
inline uint32_t HighCell(uint64_t number) {
  return static_cast<uint32_t>(number >> 32);
}
inline uint32_t LowCell(uint64_t number) {
  return static_cast<uint32_t>(number);
}

}  // namespace kvmlet::arch

#endif  // KVMLET_ARCH_COMMON_FDT_WRITER_H_
