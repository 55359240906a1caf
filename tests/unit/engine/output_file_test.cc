// Claims: a file stands in its folder complete or not at all, also where the file system knows no files
// without names; its mode is the replaced file's or what the umask leaves; links stay.
#include "engine/output_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "temporary_folder.h"

namespace cortensor::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Status write_file(const std::string& path, std::string_view text) {
  auto file = OutputFile::create(path);
  if (!file) return file.error();
  if (Status written = file->write(bytes_of(text)); !written) return written;
  return file->commit();
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

unsigned mode_of(const std::string& path) {
  struct stat file {};
  return ::stat(path.c_str(), &file) == 0 ? file.st_mode & 07777 : 0;
}

TEST(OutputFile, HasNoNameUntilItIsWhole) {
  const TemporaryFolder folder;
  const int nameless = ::open(folder.path("").c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (nameless < 0) GTEST_SKIP() << "this file system knows no files without names";
  ::close(nameless);
  for (const std::string before : {"", "before"}) {
    const auto entries = folder.entries();
    auto file = OutputFile::create(folder.path("out"));
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE(file->write(bytes_of("after")));
    EXPECT_EQ(folder.entries(), entries);
    EXPECT_EQ(read_all(folder.path("out")), before);
    ASSERT_TRUE(file->commit());
    EXPECT_EQ(read_all(folder.path("out")), "after");
    EXPECT_EQ(folder.entries(), 1u);
    ASSERT_TRUE(write_file(folder.path("out"), "before"));
  }
}

// Whether files can be written in a process for which open() refuses O_TMPFILE.
int without_nameless_files(const TemporaryFolder& folder) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    return 1;
  {
    auto abandoned = OutputFile::create(folder.path("out"));
    if (!abandoned || !abandoned->write(bytes_of("half")) || folder.entries() != 1) return 2;
  }
  if (folder.entries() != 0) return 3;
  if (!write_file(folder.path("out"), "one") || !write_file(folder.path("out"), "two")) return 4;
  return folder.entries() == 1 && mode_of(folder.path("out")) == 0640 ? 0 : 5;
}

TEST(OutputFile, IsWrittenBesideItsPlaceWhereItNeedsAName) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  EXPECT_EXIT(std::_Exit(without_nameless_files(folder)), testing::ExitedWithCode(0), "");
  ::umask(before);
  EXPECT_EQ(read_all(folder.path("out")), "two");
}

TEST(OutputFile, HasTheModeOfTheOldOneOrOfTheUmask) {
  const TemporaryFolder folder;
  for (const mode_t mask : {077, 022}) {
    const mode_t before = ::umask(mask);
    const Status written = write_file(folder.path("new"), "text");
    ::umask(before);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(mode_of(folder.path("new")), 0666u & ~mask);
    fs::remove(folder.path("new"));
  }
  std::ofstream(folder.path("old")) << "text";
  for (const mode_t mode : {0640, 0606}) {
    ::chmod(folder.path("old").c_str(), mode);
    ASSERT_TRUE(write_file(folder.path("old"), "new text"));
    EXPECT_EQ(mode_of(folder.path("old")), mode);
  }
}

TEST(OutputFile, GoesWhereALinkLeads) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path("far"));
  std::ofstream(folder.path("far/old")) << "text";
  fs::create_symlink("../second", folder.path("far/first"));
  fs::create_symlink("far/old", folder.path("second"));
  fs::create_symlink(folder.path("far/new"), folder.path("dangling"));
  for (const auto& [link, target] : {std::pair{"far/first", "far/old"}, {"dangling", "far/new"}}) {
    ASSERT_TRUE(write_file(folder.path(link), link));
    EXPECT_TRUE(fs::is_symlink(folder.path(link)));
    EXPECT_FALSE(fs::is_symlink(folder.path(target)));
    EXPECT_EQ(read_all(folder.path(target)), link);
  }
  fs::create_symlink("circle", folder.path("circle"));
  EXPECT_FALSE(write_file(folder.path("circle"), "text"));
}

TEST(OutputFile, CannotStandEverywhere) {
  const TemporaryFolder folder;
  std::ofstream(folder.path("file")) << "text";
  EXPECT_TRUE(write_file(folder.path(std::string(255, 'x')), "text"));
  for (const std::string& path :
       {folder.path(std::string(256, 'x')), folder.path("none/out"), folder.path("file/out"), folder.path(""),
        std::string("/dev/null"), std::string()}) {
    const auto file = OutputFile::create(path);
    ASSERT_FALSE(file) << path;
    EXPECT_THAT(file.error().message, HasSubstr(path));
  }
  EXPECT_EQ(folder.entries(), 2u);
}

}  // namespace
}  // namespace cortensor::engine
