#include "disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace cortensor::simulation {
namespace {

thread_local Disk* current_disk = nullptr;

}  // namespace

struct Disk::Image {
  struct Change {
    std::size_t at = 0;
    Bytes bytes;
    bool truncates = false;  // to `at`
  };
  // Shared memory of the connections to this file; it does not outlive them.
  struct Memory {
    std::vector<std::unique_ptr<char[]>> regions;
    std::array<int, SQLITE_SHM_NLOCK> shared{};
    std::array<bool, SQLITE_SHM_NLOCK> exclusive{};
    int users = 0;
  };

  bool ended = false;            // the process that has it open is gone
  Bytes data;                    // as written
  Bytes safe;                    // as synced
  std::vector<Change> unsynced;  // in order
  Memory memory;
  int sharing = 0;                 // connections with at least a shared lock
  const void* reserved = nullptr;  // who has at least a reserved lock
  const void* exclusive = nullptr;

  static void apply(const Change& change, Bytes& to) {
    if (change.truncates) return to.resize(std::min(change.at, to.size()));
    to.resize(std::max(to.size(), change.at + change.bytes.size()));
    std::copy(change.bytes.begin(), change.bytes.end(), to.begin() + static_cast<std::ptrdiff_t>(change.at));
  }
  void change(Change what) {
    apply(what, data);
    unsynced.push_back(std::move(what));
  }
  void sync() {
    for (const Change& change : unsynced) apply(change, safe);
    unsynced.clear();
  }
};

namespace {

struct File {
  sqlite3_file base;
  Disk* disk = nullptr;
  std::shared_ptr<Disk::Image> image;
  bool maps = false;
  int level = SQLITE_LOCK_NONE;
  std::array<bool, SQLITE_SHM_NLOCK> shared{};
  std::array<bool, SQLITE_SHM_NLOCK> exclusive{};
};

File& file_of(sqlite3_file* file) {
  return *reinterpret_cast<File*>(file);
}

int close(sqlite3_file* file) {
  file_of(file).~File();
  return SQLITE_OK;
}

int read(sqlite3_file* file, void* out, int size, sqlite3_int64 at) {
  const Bytes& data = file_of(file).image->data;
  const auto begin = std::min(static_cast<std::size_t>(at), data.size());
  const auto count = std::min(static_cast<std::size_t>(size), data.size() - begin);
  std::memcpy(out, data.data() + begin, count);
  if (count == static_cast<std::size_t>(size)) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + count, 0, static_cast<std::size_t>(size) - count);
  return SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  File& self = file_of(file);
  const auto* bytes = static_cast<const std::uint8_t*>(from);
  const auto part = [&](int count) {
    self.image->change({static_cast<std::size_t>(at), Bytes(bytes, bytes + count), false});
  };
  if (const int code = self.disk->judge(*self.image, [&] { part(size / 2); }); code != SQLITE_OK) return code;
  part(size);
  return SQLITE_OK;
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  File& self = file_of(file);
  if (const int code = self.disk->judge(*self.image, [] {}); code != SQLITE_OK) return code;
  self.image->change({static_cast<std::size_t>(size), {}, true});
  return SQLITE_OK;
}

int sync(sqlite3_file* file, int) {
  File& self = file_of(file);
  if (const int code = self.disk->judge(*self.image, [] {}); code != SQLITE_OK) return code;
  if (self.disk->sync_fails()) return SQLITE_IOERR_FSYNC;
  if (!self.disk->ignores_syncs()) self.image->sync();
  return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(file_of(file).image->data.size());
  return SQLITE_OK;
}

int lock(sqlite3_file* file, int level) {
  File& self = file_of(file);
  Disk::Image& image = *self.image;
  const auto taken = [&](const void* holder) { return holder != nullptr && holder != &self; };
  if (level <= self.level) return SQLITE_OK;
  if (image.ended) return SQLITE_IOERR_LOCK;  // closing it cleans nothing up
  if (taken(image.exclusive) || (level >= SQLITE_LOCK_RESERVED && taken(image.reserved))) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_EXCLUSIVE && image.sharing > (self.level >= SQLITE_LOCK_SHARED ? 1 : 0))
    return SQLITE_BUSY;
  if (self.level == SQLITE_LOCK_NONE) ++image.sharing;
  if (level >= SQLITE_LOCK_RESERVED) image.reserved = &self;
  if (level == SQLITE_LOCK_EXCLUSIVE) image.exclusive = &self;
  self.level = level;
  return SQLITE_OK;
}

int unlock(sqlite3_file* file, int level) {
  File& self = file_of(file);
  Disk::Image& image = *self.image;
  if (level >= self.level) return SQLITE_OK;
  if (image.exclusive == &self) image.exclusive = nullptr;
  if (image.reserved == &self) image.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE) --image.sharing;
  self.level = level;
  return SQLITE_OK;
}

int check_reserved_lock(sqlite3_file* file, int* out) {
  *out = file_of(file).image->reserved != nullptr;
  return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int sector_size(sqlite3_file*) {
  return 512;
}
int characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  File& self = file_of(file);
  Disk::Image::Memory& memory = self.image->memory;
  if (!self.maps) ++memory.users;
  self.maps = true;
  const auto at = static_cast<std::size_t>(region);
  *out = nullptr;
  if (at >= memory.regions.size() && extend == 0) return SQLITE_OK;
  while (at >= memory.regions.size())
    memory.regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(size)));
  *out = memory.regions[at].get();
  return SQLITE_OK;
}

int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  File& self = file_of(file);
  Disk::Image::Memory& memory = self.image->memory;
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  const auto first = static_cast<std::size_t>(offset), end = first + static_cast<std::size_t>(n);
  for (std::size_t i = first; i < end; ++i) {
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      if (exclusive && self.exclusive[i]) memory.exclusive[i] = self.exclusive[i] = false;
      if (!exclusive && self.shared[i]) --memory.shared[i], self.shared[i] = false;
    } else if (exclusive ? memory.exclusive[i] || memory.shared[i] > (self.shared[i] ? 1 : 0)
                         : memory.exclusive[i] && !self.exclusive[i]) {
      return SQLITE_BUSY;
    }
  }
  if ((flags & SQLITE_SHM_LOCK) == 0) return SQLITE_OK;
  for (std::size_t i = first; i < end; ++i) {
    if (exclusive)
      memory.exclusive[i] = self.exclusive[i] = true;
    else if (!self.shared[i])
      ++memory.shared[i], self.shared[i] = true;
  }
  return SQLITE_OK;
}

void shm_barrier(sqlite3_file*) {}

int shm_unmap(sqlite3_file* file, int) {
  File& self = file_of(file);
  Disk::Image::Memory& memory = self.image->memory;
  if (!self.maps) return SQLITE_OK;
  self.maps = false;
  if (--memory.users == 0) memory = {};
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = close,
    .xRead = read,
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = unlock,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  Disk* disk = Disk::current();
  file->pMethods = nullptr;
  auto image = disk->find(name == nullptr ? "temporary" : name, true);
  File* opened = new (file) File();
  opened->base.pMethods = &kMethods;
  opened->disk = disk;
  opened->image = std::move(image);
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(sqlite3_vfs*, const char* name, int) {
  return Disk::current()->remove(name) ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

int access(sqlite3_vfs*, const char* name, int, int* out) {
  *out = Disk::current()->exists(name);
  return SQLITE_OK;
}

int full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

void register_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    static sqlite3_vfs vfs = *sqlite3_vfs_find(nullptr);
    vfs.zName = kDisk;
    vfs.szOsFile = static_cast<int>(sizeof(File));
    vfs.pNext = nullptr;
    vfs.xOpen = open;
    vfs.xDelete = remove;
    vfs.xAccess = access;
    vfs.xFullPathname = full_pathname;
    sqlite3_vfs_register(&vfs, 0);
  });
}

}  // namespace

Disk::Disk(Random random) : random_(random) {
  register_once();
  current_disk = this;
  find(kFile, true);
}

Disk::~Disk() {
  current_disk = nullptr;
}

Disk* Disk::current() {
  return current_disk;
}

std::shared_ptr<Disk::Image> Disk::find(const std::string& name, bool create) {
  const auto found = files_.find(name);
  if (found != files_.end()) return found->second;
  return create ? files_[name] = std::make_shared<Image>() : nullptr;
}

void Disk::end(End how) {
  doom_ = {};
  for (auto& [name, image] : files_) {
    const auto left = std::make_shared<Image>();
    if (how == End::killed) {
      left->data = image->data;
      left->safe = image->safe;
      left->unsynced = image->unsynced;
    } else {
      left->safe = image->safe;
      for (const Image::Change& change : image->unsynced)
        if (random_.chance(50)) Image::apply(change, left->safe);
      left->data = left->safe;
    }
    image->ended = true;
    image = left;
  }
}

void Disk::end_at_write(int n, End how, std::function<void()> died) {
  doom_ = {n, how, std::move(died)};
}

int Disk::judge(const Image& image, const std::function<void()>& half) {
  if (image.ended) return SQLITE_IOERR_WRITE;
  if (doom_.writes > 0 && --doom_.writes == 0) {
    half();
    const Doom doom = std::exchange(doom_, {});
    end(doom.how);
    doom.died();
    return SQLITE_IOERR_WRITE;
  }
  if (!full_) return SQLITE_OK;
  half();
  return SQLITE_FULL;
}

}  // namespace cortensor::simulation
