"""A PostgreSQL server of a test's own."""
import os
import pathlib
import shutil
import subprocess
import tempfile

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
MISSING = not (PROGRAMS / "initdb").exists() and "PostgreSQL is not installed"


class Server:
    """PostgreSQL on a socket in a folder of its own. It does not run as root."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cortensor-postgres-")
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.run("initdb", "--no-sync", "-D", self.folder + "/data", "-A", "trust", "-E", "UTF8", "-U", "cortensor")
        self.run("pg_ctl", "-D", self.folder + "/data", "-w", "-l", self.folder + "/log", "-o",
                 f"-k {self.folder} -c listen_addresses=''", "start")
        self.url = f"postgresql://cortensor@/postgres?host={self.folder}"
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", self.folder + "/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program, *arguments):
        subprocess.run([*self.user, PROGRAMS / program, *arguments], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)
