#include "fault_vfs.h"

#include <sqlite3.h>

#include <csignal>
#include <cstring>
#include <ostream>

namespace cortensor::ledger::testing {
namespace {

Fault armed = Fault::none;
int countdown = 0;
bool happened = false;
sqlite3_vfs* below = nullptr;

struct File {
  sqlite3_file base;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<File*>(file)->real();
}

// SQLITE_OK, or what this changing call is to fail with. `half` is done first when it is a write.
template <class Half>
int judge(int io_error, Half half) {
  if (armed == Fault::none) return SQLITE_OK;
  const bool forever = armed == Fault::disk_full_forever || armed == Fault::io_error_forever;
  --countdown;
  if (countdown > 0 || (countdown < 0 && !forever)) return SQLITE_OK;
  if (!happened) half();
  happened = true;
  if (armed == Fault::kill) ::raise(SIGKILL);
  return armed == Fault::disk_full_once || armed == Fault::disk_full_forever ? SQLITE_FULL : io_error;
}

int close(sqlite3_file* file) {
  return real(file)->pMethods->xClose(real(file));
}
int read(sqlite3_file* file, void* out, int size, sqlite3_int64 at) {
  return real(file)->pMethods->xRead(real(file), out, size, at);
}
int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 at) {
  const auto half = [&] { real(file)->pMethods->xWrite(real(file), data, size / 2, at); };
  if (const int code = judge(SQLITE_IOERR_WRITE, half); code != SQLITE_OK) return code;
  return real(file)->pMethods->xWrite(real(file), data, size, at);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (const int code = judge(SQLITE_IOERR_TRUNCATE, [] {}); code != SQLITE_OK) return code;
  return real(file)->pMethods->xTruncate(real(file), size);
}
int sync(sqlite3_file*, int) {
  return judge(SQLITE_IOERR_FSYNC, [] {});
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return real(file)->pMethods->xFileSize(real(file), size);
}
int lock(sqlite3_file* file, int level) {
  return real(file)->pMethods->xLock(real(file), level);
}
int unlock(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}
int check_reserved_lock(sqlite3_file* file, int* out) {
  return real(file)->pMethods->xCheckReservedLock(real(file), out);
}
int file_control(sqlite3_file* file, int op, void* arg) {
  return real(file)->pMethods->xFileControl(real(file), op, arg);
}
int sector_size(sqlite3_file* file) {
  return real(file)->pMethods->xSectorSize(real(file));
}
// No promise about power-safe or atomic writes: SQLite must do it the long way.
int characteristics(sqlite3_file*) {
  return 0;
}
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}
void shm_barrier(sqlite3_file* file) {
  real(file)->pMethods->xShmBarrier(real(file));
}
int shm_unmap(sqlite3_file* file, int remove) {
  return real(file)->pMethods->xShmUnmap(real(file), remove);
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
  file->pMethods = nullptr;
  const int code = below->xOpen(below, name, real(file), flags, out_flags);
  if (code == SQLITE_OK) file->pMethods = &kMethods;
  return code;
}
int remove(sqlite3_vfs*, const char* name, int sync_directory) {
  if (const int code = judge(SQLITE_IOERR_DELETE, [] {}); code != SQLITE_OK) return code;
  return below->xDelete(below, name, sync_directory);
}

void register_once() {
  if (below) return;
  below = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = *below;
  vfs.zName = kFaultVfs;
  vfs.szOsFile = static_cast<int>(sizeof(File)) + below->szOsFile;
  vfs.pNext = nullptr;
  vfs.xOpen = open;
  vfs.xDelete = remove;
  sqlite3_vfs_register(&vfs, 0);
}

}  // namespace

void PrintTo(Fault fault, std::ostream* out) {
  constexpr const char* kNames[] = {"none",          "disk_full_once",   "disk_full_forever",
                                    "io_error_once", "io_error_forever", "kill"};
  *out << kNames[static_cast<std::size_t>(fault)];
}

void arm(Fault fault, int n) {
  register_once();
  armed = fault;
  countdown = n;
  happened = false;
}
void disarm() {
  arm(Fault::none, 0);
}
bool fault_happened() {
  return happened;
}

}  // namespace cortensor::ledger::testing
