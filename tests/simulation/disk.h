// A disk in memory, as a SQLite VFS: it fills up, it fails, and it loses what was not synced when the power
// goes.
//
// SQLite finds it under the name kDisk; the one that a thread has made last is meant. Its only database is
// kFile.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "random.h"

namespace cortensor::simulation {

inline constexpr const char* kDisk = "simulated";
// Exists on every machine, so that whoever makes sure that the file is there touches nothing.
inline constexpr const char* kFile = "/dev/null";

enum class End : std::uint8_t {
  killed,     // the process is gone, the machine goes on: what was written is there
  power_lost  // of what was written since the last sync any part may be missing
};

class Disk {
 public:
  explicit Disk(Random random);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  void set_full(bool full) { full_ = full; }
  void set_sync_fails(bool fails) { sync_fails_ = fails; }
  void ignore_syncs() { ignores_syncs_ = true; }  // a planted bug

  // The process that has files open ends now. They stay usable for it, to no effect.
  void end(End how);
  // It ends in the middle of the n-th write from now on; `died` is called then, and every later write of the
  // process fails. 0: it does not.
  void end_at_write(int n, End how, std::function<void()> died);

  // What follows is the VFS's.
  struct Image;
  struct Doom {
    int writes = 0;
    End how = End::killed;
    std::function<void()> died;
  };
  std::shared_ptr<Image> find(const std::string& name, bool create);
  bool remove(const std::string& name) { return files_.erase(name) > 0; }
  bool exists(const std::string& name) const { return files_.contains(name); }
  // SQLITE_OK, or why a write, truncation or sync fails. `half` does a part of it.
  int judge(const Image& image, const std::function<void()>& half);
  bool sync_fails() const { return sync_fails_; }
  bool ignores_syncs() const { return ignores_syncs_; }
  static Disk* current();

 private:
  Random random_;
  std::map<std::string, std::shared_ptr<Image>> files_;
  bool full_ = false;
  bool sync_fails_ = false;
  bool ignores_syncs_ = false;
  Doom doom_;
};

}  // namespace cortensor::simulation
