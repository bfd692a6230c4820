"""A hot stand-by of the PostgreSQL that `headgate up` started: streams from it, and can take its place."""

import os
import signal
import subprocess

import harness
from harness import alive, clean_environment, until

NAME = "second"  # in synchronous_standby_names


def processes_in(folder):
    """Pids of those that work in a folder, as all processes of a PostgreSQL do in its data directory."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd") == str(folder):
                    found.append(int(entry))
            except OSError:
                pass
    return found


class Replica:
    def __init__(self, gateway):
        self.gateway = gateway
        self.first, self.second = gateway.setting("run"), str(gateway.home.parent / "run2")
        self.primary_data = (gateway.home / "postgres").resolve()
        self.data = gateway.home.parent / "data2"
        self.log = open(gateway.home.parent / "postgres2.log", "wb")
        self.process = None
        owner = os.stat(self.primary_data)
        self.as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        for folder in (self.second, self.data):
            os.mkdir(folder, 0o755 if folder == self.second else 0o700)
            if self.as_owner:
                os.chown(folder, owner.st_uid, owner.st_gid)
        self._copy()
        self.start()

    def _copy(self):
        """By pg_basebackup, which also writes down how to go on by streaming."""
        self.gateway.sql("CREATE ROLE replicator REPLICATION LOGIN")
        with open(self.primary_data / "pg_hba.conf", "a", encoding="utf-8") as file:
            file.write("local replication replicator trust\n")
        self.gateway.sql("SELECT pg_reload_conf()")

        def copied():
            done = subprocess.run([self.gateway.postgres_program("pg_basebackup"), "-h", self.first, "-U", "replicator",
                                   "-D", self.data, "-X", "stream", "-c", "fast", "-R"], cwd="/", capture_output=True,
                                  text=True, timeout=60, check=False, env=clean_environment(), **self.as_owner)
            assert done.returncode == 0, done.stderr
            return True
        until(copied, 20, "a copy of the primary, once it has read pg_hba.conf")

    def start(self):
        self.process = subprocess.Popen(
            [self.gateway.postgres_program("postgres"), "-D", self.data, "-k", self.second, "-c", "listen_addresses=",
             "-c", f"cluster_name={NAME}"], cwd="/", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=clean_environment(), **self.as_owner)
        until(lambda: self.sql("SELECT pg_is_in_recovery()") == [["t"]], 30, "the stand-by takes connections")

    def stop(self):
        """Not for good: start() goes on where it was."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def be_synchronous(self):
        """From now on nothing is acknowledged that is not on the stand-by's disk too."""
        self.gateway.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
        self.gateway.sql("SELECT pg_reload_conf()")
        until(lambda: self.gateway.sql("SELECT sync_state FROM pg_stat_replication") == [["sync"]], 20, "synchronous streaming")

    def wait_caught_up(self):
        there = self.gateway.sql("SELECT pg_current_wal_lsn()")[0][0]
        until(lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{there}'::pg_lsn") == [["t"]], 20, "the stand-by's replay")

    def kill_primary(self):
        """As a host that loses its power: no process of it is left."""
        pid = self.gateway.pid("postgres")
        os.kill(pid, signal.SIGKILL)

        def ended():
            left = [p for p in processes_in(self.primary_data) if alive(p)]
            for one in left:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left
        until(ended, 20, "the primary's end")

    def promote(self):
        assert self.sql("SELECT pg_promote(true, 60)") == [["t"]]

    def sql(self, statement):
        """Rows of a statement at this one, as lists of text."""
        done = subprocess.run([self.gateway.postgres_program("psql"), "-h", self.second, "-U", "headgate_owner", "-d", "headgate",
                               "-X", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True,
                              text=True, check=False, timeout=90, env=harness.clean_environment({"LC_ALL": "C.UTF-8"}))
        assert done.returncode == 0, done.stderr
        return [line.split("\x1f") for line in done.stdout.splitlines() if line]

    def close(self):
        if self.process and self.process.poll() is None:
            self.stop()
        self.log.close()
