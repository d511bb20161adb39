// SPDX-License-Identifier: Apache-2.0
// Reads a flattened device tree back, by path, for tests. A property that is
// missing or of another size fails the test that asked for it.
#ifndef KVMLET_TESTS_ARCH_ARM64_FDT_READER_H_
#define KVMLET_TESTS_ARCH_ARM64_FDT_READER_H_

#include <endian.h>
#include <gtest/gtest.h>
extern "C" {
#include <libfdt.h>
}

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "arch/common/bytes.h"

namespace kvmlet::arch {

class FdtReader {
 public:
  explicit FdtReader(Bytes blob) : blob_(std::move(blob)) {
    EXPECT_EQ(fdt_check_full(blob_.data(), blob_.size()), 0);
  }

  bool Has(const std::string& path) const {
    return fdt_path_offset(blob_.data(), path.c_str()) >= 0;
  }
  bool Has(const std::string& path, const char* property) const {
    return Find(path, property) != nullptr;
  }
  std::string Raw(const std::string& path, const char* property) const {
    int size = 0;
    const void* const value = Find(path, property, &size);
    if (value == nullptr) {
      ADD_FAILURE() << path << " has no " << property;
      return "";
    }
    return {static_cast<const char*>(value), static_cast<size_t>(size)};
  }
  // Address and size of what a kernel leaves alone.
  std::vector<std::pair<uint64_t, uint64_t>> Reserved() const {
    std::vector<std::pair<uint64_t, uint64_t>> all;
    for (int i = 0; i < fdt_num_mem_rsv(blob_.data()); ++i) {
      auto& [at, size] = all.emplace_back();
      EXPECT_EQ(fdt_get_mem_rsv(blob_.data(), i, &at, &size), 0);
    }
    return all;
  }
  // The first string.
  std::string Text(const std::string& path, const char* property) const {
    return Raw(path, property).c_str();
  }
  std::vector<uint32_t> Cells(const std::string& path,
                              const char* property) const {
    const std::string raw = Raw(path, property);
    EXPECT_EQ(raw.size() % 4, 0u) << path << " " << property;
    std::vector<uint32_t> cells(raw.size() / 4);
    std::memcpy(cells.data(), raw.data(), cells.size() * 4);
    for (uint32_t& cell : cells) cell = be32toh(cell);
    return cells;
  }
  uint32_t Cell(const std::string& path, const char* property) const {
    const std::vector<uint32_t> cells = Cells(path, property);
    EXPECT_EQ(cells.size(), 1u) << path << " " << property;
    return cells.empty() ? 0 : cells[0];
  }
  // Pairs of cells.
  std::vector<uint64_t> Numbers(const std::string& path,
                                const char* property) const {
    const std::vector<uint32_t> cells = Cells(path, property);
    std::vector<uint64_t> numbers;
    for (size_t i = 0; i + 1 < cells.size(); i += 2) {
      numbers.push_back(uint64_t{cells[i]} << 32 | cells[i + 1]);
    }
    return numbers;
  }
  // Names of the children, in order.
  std::vector<std::string> Children(const std::string& path) const {
    std::vector<std::string> names;
    const int parent = fdt_path_offset(blob_.data(), path.c_str());
    int node = 0;
    fdt_for_each_subnode(node, blob_.data(), parent) {
      names.emplace_back(fdt_get_name(blob_.data(), node, nullptr));
    }
    return names;
  }
  // The path of the node that a phandle names.
  std::string PathOf(uint32_t phandle) const {
    char path[256] = "";
    const int node = fdt_node_offset_by_phandle(blob_.data(), phandle);
    EXPECT_EQ(fdt_get_path(blob_.data(), node, path, sizeof(path)), 0);
    return path;
  }
  const Bytes& blob() const { return blob_; }

 private:
  const void* Find(const std::string& path, const char* property,
                   int* size = nullptr) const {
    const int node = fdt_path_offset(blob_.data(), path.c_str());
    return node < 0 ? nullptr : fdt_getprop(blob_.data(), node, property, size);
  }
  Bytes blob_;
};

}  // namespace kvmlet::arch

#endif  // KVMLET_TESTS_ARCH_ARM64_FDT_READER_H_
