"""Several control planes and data planes over the PostgreSQL of one `headgate up`: for tests of what happens when
one of several is gone. What `up` started besides PostgreSQL is ended first, for good."""

import json
import os
import signal
import subprocess

import httpx

import harness
from harness import TRUST, FakeProvider, until
from planes import DataPlane, Program, free_address, own_directory

BODY = {"model": "fake/m", "max_tokens": 20, "x_mock": "usage=20/20", "messages": [{"role": "user", "content": "Hello!"}]}


class ControlPlane(Program):
    """One of several. bus: the folder of the sockets that workers are told, when a proxy stands in between."""

    def __init__(self, gateway, name, changes=None):
        self.folder = own_directory(gateway, name)
        self.name, self.admin = name, free_address()
        self.pub, self.req = f"ipc://{self.folder}/pub", f"ipc://{self.folder}/req"
        super().__init__(gateway, "controlplane", "headgate-controlplane",
                         {"--admin-listen": self.admin, "--state-dir": str(self.folder / "state"),
                          "--bus-pub": self.pub, "--bus-req": self.req, **(changes or {})})
        self.gone = False

    def is_ready(self):
        return httpx.get(f"http://{self.admin}/readyz", timeout=30).status_code == 200

    def leave(self, how):
        """Killed, or stopped with its connections open."""
        self.gone = True
        self.process.send_signal(how)
        if how == signal.SIGKILL:
            self.process.wait(20)

    def back(self):
        """After leave()."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()
        self.gone = False


class Fleet:
    def __init__(self, gateway, planes=3, workers=1, fake=(), changes=None):
        self.gateway, self.token, self.key = gateway, gateway.token, gateway.key
        self.fake = FakeProvider(*fake)
        self.data_planes = []
        self.planes = [ControlPlane(gateway, f"cp{i}", changes) for i in range(planes)]
        self.pattern = DataPlane(gateway, "nowhere")  # while one runs to copy from
        self._end_the_gateways_own()
        for plane in self.planes:
            plane.start()
        for plane in self.planes:
            until(lambda p=plane: p.is_ready(), 30, f"{plane.name}'s readiness")
        self.apply(self.fake.provider())
        if workers:
            self.add_data_plane(workers=workers)

    def _end_the_gateways_own(self):
        for name in ("supervisor", "dataplane", "controlplane"):
            pid = self.gateway.pid(name)
            os.kill(pid, signal.SIGKILL)
            until(lambda p=pid: not harness.alive(p), 10, f"the end of {name}")

    def folder(self, name):
        """A new one that the daemons' user may write."""
        path = self.gateway.home.parent / name
        path.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(path, self.pattern.uid, -1)
        return path

    def add_data_plane(self, planes=None, workers=1, bus=None):
        """Workers that know these control planes, else all; bus: pairs of URLs instead of theirs."""
        bus = bus or [(p.pub, p.req) for p in planes or self.planes]
        folder = self.folder(f"dp{len(self.data_planes)}")
        plane = DataPlane.__new__(DataPlane)
        plane.__dict__.update(self.pattern.__dict__)
        plane.argv = list(self.pattern.argv)
        plane.listen, plane.metrics = free_address(), free_address()
        for option, value in {"--listen": plane.listen, "--metrics-listen": plane.metrics, "--workers": str(workers),
                              "--state-dir": str(folder / "state"), "--bus-pub": ",".join(b[0] for b in bus),
                              "--bus-req": ",".join(b[1] for b in bus)}.items():
            plane.set(option, value)
        plane.log = open(self.gateway.home / "log" / f"{folder.name}.log", "ab")
        self.data_planes.append(plane)
        plane.start()
        plane.wait_ready()
        return plane

    def close(self):
        for plane in [*self.data_planes, *self.planes]:
            plane.close()
        self.pattern.log.close()
        self.fake.close()

    # --- calls

    def there(self):
        return [p for p in self.planes if not p.gone]

    def admin(self, method, path, at=None, headers=None, **more):
        at = at or self.there()[0]
        return httpx.request(method, f"http://{at.admin}/api/v1{path}", timeout=20, verify=TRUST,
                             headers={"authorization": f"Bearer {self.token}", **(headers or {})}, **more)

    def cli(self, *args, stdin=""):
        """`headgate ARGS` against one that is there."""
        environment = {"HEADGATE_ADMIN_URL": f"http://{self.there()[0].admin}", "HEADGATE_ADMIN_TOKEN": self.token}
        done = subprocess.run([str(self.gateway.bin / "headgate"), *map(str, args)], input=stdin, capture_output=True,
                              text=True, timeout=60, check=False, env=harness.clean_environment(environment))
        if done.returncode != 0:
            raise harness.Failed(f"headgate {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, document):
        return json.loads(self.cli("apply", "-f", "-", "--output", "json", stdin=json.dumps(document)))

    def listing(self):
        answer = self.admin("GET", "/controlplanes")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def by_admin(self, address):
        return next((p for p in self.planes if p.admin == address), None)

    def ask(self, at=None, key=None, **members):
        at = at or self.data_planes[0]
        return httpx.post(f"http://{at.listen}/v1/chat/completions", json={**BODY, **members}, timeout=30, verify=TRUST,
                          headers={"authorization": f"Bearer {key or self.key}"})

    def wait_booked(self):
        """All that the data planes have spooled is in the ledger."""
        for plane in self.data_planes:
            plane.wait_idle()

    def tails(self, lines=15):
        return self.gateway.tails(lines)
