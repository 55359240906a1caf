"""The official openai package for Node, unchanged, against our API. The package is fetched with npm into the build's
own cache; where there is no npm or no registry the test says that it was skipped."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from network import Network

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ["CORTENSOR_MODELS"]).parent / "npm"


def install():
    if (CACHE / "node_modules/openai/package.json").exists():
        return None
    if not shutil.which("npm"):
        return "npm is not installed"
    CACHE.mkdir(exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(CACHE), "openai@4"],
                          capture_output=True, text=True)
    return None if done.returncode == 0 else "npm could not fetch the openai package: " + done.stderr[-300:]


class OpenAiPackage(unittest.TestCase):
    def test_the_official_package_works_unchanged(self):
        reason = install()
        if reason:
            self.skipTest(reason)
        with Network() as network:
            network.add("miner")
            network.add("validator", "validator")
            shutil.copy(HERE / "openai_client.mjs", CACHE / "openai_client.mjs")
            done = subprocess.run(["node", str(CACHE / "openai_client.mjs")], capture_output=True, text=True, timeout=120,
                                  env={**os.environ, "OPENAI_BASE_URL": f"http://127.0.0.1:{network.api_port}/v1",
                                       "OPENAI_API_KEY": network.key})
            print(done.stdout, done.stderr, file=sys.stderr)
            self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
