// SPDX-License-Identifier: Apache-2.0
// The kernels that guest-images/build fetches, where they are there.
#include <filesystem>
#include <string>
#include <vector>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "gtest/gtest.h"
#include "tests/arch/x86_64/boot/images.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kRam = 512ull << 20;

std::vector<std::string> Kernels(const std::string& prefix) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& file :
       std::filesystem::directory_iterator(KVMLET_GUEST_FOLDER, ignored)) {
    if (file.path().filename().string().starts_with(prefix)) {
      found.push_back(file.path().string());
    }
  }
  return found;
}

TEST(RealKernelTest, BzImagesLoad) {
  const auto kernels = Kernels("vmlinuz");
  if (kernels.empty()) GTEST_SKIP() << "no vmlinuz in " KVMLET_GUEST_FOLDER;
  const GuestMemory memory = MakeRam(kRam);
  const auto map = MakeMap(kRam);
  for (const std::string& path : kernels) {
    const auto image = KernelImage::Open(path);
    ASSERT_TRUE(image.ok()) << image.status();
    const auto entry =
        LoadGuest(memory, *image, nullptr, {"console=ttyS0", map, Gpa{}});
    ASSERT_TRUE(entry.ok()) << path << ": " << entry.status();
    EXPECT_EQ(entry->protocol, BootProtocol::kLinux64);
    EXPECT_EQ(entry->rip, Gpa{0x1000200});
    ASSERT_TRUE(memory.Discard().ok());
  }
}

TEST(RealKernelTest, VmlinuxIsEnteredByItsPvhNote) {
  const auto kernels = Kernels("vmlinux");
  if (kernels.empty()) GTEST_SKIP() << "no vmlinux in " KVMLET_GUEST_FOLDER;
  const GuestMemory memory = MakeRam(kRam);
  const auto map = MakeMap(kRam);
  for (const std::string& path : kernels) {
    const auto image = KernelImage::Open(path);
    ASSERT_TRUE(image.ok()) << image.status();
    const auto entry =
        LoadGuest(memory, *image, nullptr, {"console=ttyS0", map, Gpa{}});
    ASSERT_TRUE(entry.ok()) << path << ": " << entry.status();
    EXPECT_EQ(entry->protocol, BootProtocol::kPvh);
    EXPECT_EQ(image->plan().command_line_max, 2047u);
    ASSERT_TRUE(memory.Discard().ok());
  }
}

TEST(RealKernelTest, TinyGuestIsToldHowMuchItNeeds) {
  const auto kernels = Kernels("vmlinuz");
  if (kernels.empty()) GTEST_SKIP() << "no vmlinuz in " KVMLET_GUEST_FOLDER;
  const GuestMemory memory = MakeRam(16 << 20);
  const auto map = MakeMap(16 << 20);
  const auto image = KernelImage::Open(kernels[0]);
  ASSERT_TRUE(image.ok()) << image.status();

  const auto entry = LoadGuest(memory, *image, nullptr, {"", map, Gpa{}});

  EXPECT_EQ(entry.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvmlet::arch::x86_64
