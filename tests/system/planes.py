"""A second data plane or control plane beside those of `headgate up`: the same command line with other
addresses, started and stopped by a test alone."""

import os
import pathlib
import signal
import subprocess

import httpx

import harness
from harness import free_address


class Program:
    """A second instance of a daemon that `headgate up` started: its command line with other values."""

    def __init__(self, gateway, part, program, changes):
        pid = gateway.pid(part)
        self.argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        self.argv[0] = str(gateway.bin / program)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.uid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:")))
        self.gid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("Gid:")))
        for option, value in changes.items():
            self.set(option, value)
        self.log = open(gateway.home / "log" / f"second-{part}.log", "ab")
        self.process = None

    def set(self, option, value):
        if option in self.argv:
            self.argv[self.argv.index(option) + 1] = value
        else:
            self.argv += [option, value]

    def start(self, environment=None):
        # As the user that the gateway's own run as.
        own = {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=harness.clean_environment(environment), **own)

    def stop(self, signo=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signo)
            self.process.wait(30)

    def close(self):
        self.stop(signal.SIGKILL)
        self.log.close()


class DataPlane(Program):
    def __init__(self, gateway, state, changes=None):
        self.listen, self.metrics = free_address(), free_address()
        super().__init__(gateway, "dataplane", "headgate-dataplane",
                         {"--listen": self.listen, "--metrics-listen": self.metrics, "--workers": "1",
                          "--state-dir": str(state), **(changes or {})})
        if "--user" in self.argv:  # it is that user already
            at = self.argv.index("--user")
            del self.argv[at:at + 2]

    def is_ready(self):
        return httpx.get(f"http://{self.listen}/readyz", timeout=30).status_code == 200

    def wait_ready(self):
        harness.until(self.is_ready, 20, "the data plane's readiness")

    def is_idle(self):
        text = httpx.get(f"http://{self.metrics}/metrics", timeout=30).text
        values = [float(line.split()[-1]) for line in text.splitlines()
                  if line.startswith(("headgate_open_requests", "headgate_spool_open_reservations",
                                      "headgate_spool_records"))]
        return values and not any(values)

    def wait_idle(self):
        harness.until(self.is_idle, 30, "the data plane's records to be acknowledged")


def own_directory(gateway, name):
    """A directory that the daemons' user may write."""
    path = gateway.home.parent / name
    path.mkdir(mode=0o755)
    status = pathlib.Path(f"/proc/{gateway.pid('controlplane')}/status").read_text()
    uid = int(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:")))
    if os.geteuid() == 0:
        os.chown(path, uid, -1)
    return path
