// SPDX-License-Identifier: Apache-2.0
// Synthetic arm64 kernel images: right in every field, for the test to break
// one. Plain functions.
#ifndef KVMLET_TESTS_ARCH_ARM64_IMAGES_H_
#define KVMLET_TESTS_ARCH_ARM64_IMAGES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "arch/arm64/kernel_image.h"
#include "arch/common/bytes.h"

namespace kvmlet::arch::arm64 {

template <typename T>
void Poke(Bytes& bytes, size_t offset, const T& value) {
  if (bytes.size() < offset + sizeof(T)) bytes.resize(offset + sizeof(T));
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

struct ImageParts {
  uint64_t text_offset = 0;
  uint64_t image_size = 0x300000;
  uint64_t flags = 0x0a;  // 4K pages, anywhere in RAM
  uint32_t magic = 0x644d5241;
  size_t file_size = 0x10000;

  Bytes Build() const {
    Bytes out(file_size);
    for (size_t i = 64; i < out.size(); ++i) {
      out[i] = static_cast<std::byte>(i * 7);
    }
    Poke(out, 8, text_offset);
    Poke(out, 16, image_size);
    Poke(out, 24, flags);
    Poke(out, 56, magic);
    return out;
  }
};

inline absl::StatusOr<KernelImage> Examine(const Bytes& bytes) {
  return KernelImage::FromBytes("Image", bytes);
}

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_TESTS_ARCH_ARM64_IMAGES_H_
