// SPDX-License-Identifier: Apache-2.0
#include "arch/common/fdt_writer.h"

#include <endian.h>
extern "C" {
#include <libfdt.h>
}

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvmlet::arch {
namespace {

constexpr size_t kFirstSize = size_t{16} << 10;
// Linux maps no larger tree (Documentation/arch/arm64/booting.rst, 2).
constexpr size_t kMaxSize = size_t{2} << 20;

}  // namespace

FdtWriter::FdtWriter(std::optional<AddressRange> reserved)
    : buffer_(kFirstSize) {
  error_ = ::fdt_create(buffer_.data(), static_cast<int>(buffer_.size()));
  if (reserved) {
    Do([&] {
      return ::fdt_add_reservemap_entry(buffer_.data(), reserved->base(),
                                        reserved->size());
    });
  }
  Do([this] { return ::fdt_finish_reservemap(buffer_.data()); });
  Do([this] { return ::fdt_begin_node(buffer_.data(), ""); });
}

void FdtWriter::Do(const std::function<int()>& step) {
  if (error_ != 0) return;
  error_ = step();
  while (error_ == -FDT_ERR_NOSPACE && buffer_.size() < kMaxSize) {
    Bytes larger(buffer_.size() * 2);
    error_ = ::fdt_resize(buffer_.data(), larger.data(),
                          static_cast<int>(larger.size()));
    if (error_ != 0) return;
    buffer_ = std::move(larger);
    error_ = step();
  }
}

FdtWriter::Node::~Node() {
  if (writer_ == nullptr) return;
  writer_->Do([this] { return ::fdt_end_node(writer_->buffer_.data()); });
}

FdtWriter::Node FdtWriter::Child(const std::string& name) {
  Do([&] { return ::fdt_begin_node(buffer_.data(), name.c_str()); });
  return Node(this);
}

FdtWriter::Node FdtWriter::Child(std::string_view name, uint64_t address) {
  return Child(absl::StrFormat("%s@%x", name, address));
}

void FdtWriter::Data(const char* name, std::span<const std::byte> bytes) {
  // libfdt copies from it even when there is nothing to copy.
  static constexpr std::byte kNothing{};
  const std::byte* const from = bytes.empty() ? &kNothing : bytes.data();
  Do([&] {
    return ::fdt_property(buffer_.data(), name, from,
                          static_cast<int>(bytes.size()));
  });
}

void FdtWriter::Flag(const char* name) { Data(name, {}); }

void FdtWriter::Text(const char* name, std::string_view text) {
  Texts(name, {text});
}

void FdtWriter::Texts(const char* name,
                      std::initializer_list<std::string_view> texts) {
  Bytes bytes;
  for (const std::string_view text : texts) {
    AppendText(bytes, text);
    AppendByte(bytes, 0);
  }
  Data(name, bytes);
}

void FdtWriter::Cells(const char* name, std::span<const uint32_t> cells) {
  Bytes bytes;
  for (const uint32_t cell : cells) AppendObject(bytes, htobe32(cell));
  Data(name, bytes);
}

void FdtWriter::Cells(const char* name, std::initializer_list<uint32_t> cells) {
  Cells(name, std::span(cells.begin(), cells.size()));
}

void FdtWriter::Number64(const char* name, uint64_t number) {
  Cells(name, {HighCell(number), LowCell(number)});
}

void FdtWriter::Ranges(const char* name,
                       std::initializer_list<AddressRange> ranges) {
  std::vector<uint32_t> cells;
  for (const AddressRange& range : ranges) {
    cells.insert(cells.end(), {HighCell(range.base()), LowCell(range.base()),
                               HighCell(range.size()), LowCell(range.size())});
  }
  Cells(name, cells);
}

absl::StatusOr<Bytes> FdtWriter::Finish() {
  Do([this] { return ::fdt_end_node(buffer_.data()); });
  Do([this] { return ::fdt_finish(buffer_.data()); });
  if (error_ == 0) {
    buffer_.resize(fdt_totalsize(buffer_.data()));
    return std::move(buffer_);
  }
  return absl::InternalError(
      absl::StrCat("device tree: ", ::fdt_strerror(error_)));
}

}  // namespace kvmlet::arch
