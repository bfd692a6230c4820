"""headgate up, down, status: the contract of the design's section 9, as root and as an ordinary user."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import httpx
import pytest

import harness
from harness import Gateway, alive, clean_environment, until

PARTS = ("postgres", "controlplane", "dataplane")
IS_ROOT = os.geteuid() == 0


def curl_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) == 1, text
    return lines[0]


def run_in_shell(line):
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False,
                          env=clean_environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pids(gateway):
    return {name: gateway.pid(name) for name in (*PARTS, "supervisor")}


def one_line(done, code=1):
    """The one clear line of a command that failed."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("headgate")]
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) < 400
    return lines[0]


def assert_works(gateway):
    answer = gateway.chat()
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    return answer


@pytest.fixture
def running(fresh_gateway):
    return fresh_gateway()


# --- the first start --------------------------------------------------------------------------------


def test_up_prints_a_curl_line_that_works(fresh_gateway):
    gateway = fresh_gateway(start=False)
    answer = run_in_shell(curl_line(gateway.up()) + " --silent --show-error")
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["total_tokens"] > 0


def test_up_writes_an_env_file_for_its_owner_only(running):
    mode = stat.S_IMODE((running.home / "env").stat().st_mode)
    assert mode == 0o600
    assert stat.S_IMODE(running.home.stat().st_mode) & 0o007 == 0
    done = subprocess.run(["sh", "-c", '. "$0"/env; printf "%s\n" "$HEADGATE_URL" "$HEADGATE_API_KEY" '
                                       '"$HEADGATE_ADMIN_URL" "$HEADGATE_ADMIN_TOKEN"', str(running.home)],
                          capture_output=True, text=True, check=True)
    url, key, admin_url, token = done.stdout.split()
    assert url.startswith("http://127.0.0.1:") and admin_url.startswith("http://127.0.0.1:")
    assert re.fullmatch(r"sk-hg-[A-Za-z0-9_-]{43}", key)
    assert re.fullmatch(r"hgat_[A-Za-z0-9_-]{43}", token)
    assert httpx.get(url + "/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert httpx.get(admin_url + "/api/v1/teams", headers={"authorization": f"Bearer {token}"}).json()["data"][0][
        "name"] == "default"


def test_secrets_and_sockets_are_private(running):
    for name in ("secrets/seal.key", "secrets/sign.key"):
        assert stat.S_IMODE((running.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(pathlib.Path(running.setting("run")).stat().st_mode) == 0o700
    # PostgreSQL listens on its socket only.
    pid = running.pid("postgres")
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    tcp = open("/proc/net/tcp", encoding="utf-8").read() + open("/proc/net/tcp6", encoding="utf-8").read()
    listening = {f"socket:[{line.split()[9]}]" for line in tcp.splitlines() if " 0A " in line}
    assert not inodes & listening


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
def test_as_root_the_daemons_are_not(running):
    for name in ("postgres", "controlplane"):
        assert os.stat(f"/proc/{running.pid(name)}").st_uid != 0
    for pid in running.workers().values():
        status = open(f"/proc/{pid}/status", encoding="utf-8").read()
        assert re.search(r"^Uid:\s+(\d+)", status, re.M).group(1) != "0"


def test_status_tells_and_exits_zero_only_when_all_is_well(running):
    status = running.cli_json("status")
    assert status["healthy"] is True
    assert {p["name"] for p in status["processes"]} == {"supervisor", *PARTS}
    assert all(p["state"] == "ready" and p["pid"] > 0 for p in status["processes"])
    assert "all is well" in running.cli("status")
    running.down()
    done = running.run("status", "--output", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["healthy"] is False


def test_commands_find_their_gateway(running):
    """--home, else HEADGATE_HOME, else HEADGATE_ADMIN_URL and HEADGATE_ADMIN_TOKEN."""
    program = str(running.bin / "headgate")

    def names(environment, *args):
        done = subprocess.run([program, "team", "list", "--output", "json", *args], capture_output=True, text=True,
                              env=clean_environment({"HOME": "/nonexistent", **environment}), check=False)
        return [t["name"] for t in json.loads(done.stdout)["data"]] if done.returncode == 0 else done.stderr

    remote = {"HEADGATE_ADMIN_URL": running.admin_url, "HEADGATE_ADMIN_TOKEN": running.token}
    assert names({}, "--home", str(running.home)) == ["default"]
    assert names({"HEADGATE_HOME": str(running.home)}) == ["default"]
    assert names(remote) == ["default"]
    # the directory comes first
    assert "no gateway in /nonexistent" in names({**remote, "HEADGATE_HOME": "/nonexistent/x"})
    assert "no gateway in /nonexistent/.headgate" in names({})


# --- again, and repair ------------------------------------------------------------------------------


def test_the_same_line_again_leaves_alone_what_runs(running):
    before, workers, key = pids(running), running.workers(), running.key
    assert "was running already" in running.up()
    assert pids(running) == before
    assert running.workers() == workers
    assert running.key == key
    assert_works(running)


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_process_is_back_within_5_s(running, name):
    old = running.kill(name)
    until(lambda: running.pid(name) not in (0, old), 5, f"{name} back")
    until(lambda: running.run("status").returncode == 0, 5, "all well")
    answer = until(lambda: running.chat() if running.chat().status_code == 200 else None, 5, "a request")
    assert running.wait_usage(answer.headers["x-request-id"])[0]["status"] == 200


def test_a_killed_worker_is_back(running):
    old = running.kill_worker(0)
    until(lambda: running.workers().get(0) not in (None, old), 5, "worker 0 back")
    assert_works(running)


def test_a_killed_supervisor_stops_nothing_and_up_takes_over(running):
    before = pids(running)
    running.kill("supervisor")
    for name in PARTS:
        assert alive(before[name])
    assert_works(running)
    assert running.run("status").returncode == 1
    running.up()
    after = pids(running)
    assert {n: after[n] for n in PARTS} == {n: before[n] for n in PARTS}
    assert after["supervisor"] not in (0, before["supervisor"])
    # and what it adopted it keeps running
    old = running.kill("controlplane")
    until(lambda: running.pid("controlplane") not in (0, old), 5, "control plane back")


def test_up_after_everything_was_killed(running):
    key = running.key
    for name in ("supervisor", "dataplane", "controlplane", "postgres"):
        running.kill(name)
    running.up()
    assert running.key == key
    assert_works(running)
    assert running.run("status").returncode == 0


def test_up_repairs_what_is_down_after_the_supervisor(running):
    """The supervisor dies first, so that nobody repairs; then the control plane."""
    before = pids(running)
    running.kill("supervisor")
    running.kill("controlplane")
    running.up()
    after = pids(running)
    assert after["postgres"] == before["postgres"]
    assert after["dataplane"] == before["dataplane"]
    assert after["controlplane"] not in (0, before["controlplane"])


def test_two_ups_at_once_make_one_gateway(fresh_gateway):
    gateway = fresh_gateway(start=False)
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = [s.getsockname()[1] for s in (one, other)]
    gateway.options[1:4:2] = [f"127.0.0.1:{port}" for port in ports]
    command = gateway.command("up", "--detach", *gateway.options)
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=clean_environment()) for _ in range(2)]
    results = [(p.communicate(timeout=90), p.returncode) for p in running]
    assert sum(code == 0 for _, code in results) >= 1, results
    assert_works(gateway)
    assert len([t for t in gateway.cli_json("key", "list")["data"]]) == 1


def test_other_options_for_a_running_gateway_are_an_error(running):
    line = one_line(running.run("up", "--detach", "--workers", "7"))
    assert "--workers" in line and "headgate down" in line


# --- down -------------------------------------------------------------------------------------------


def test_down_stops_all_and_waits(running):
    before = pids(running)
    workers = list(running.workers().values())
    assert "Stopped" in running.down()
    for pid in [*before.values(), *workers]:
        assert not alive(pid)
    assert "was not running" in running.down()
    running.up()
    assert_works(running)


def test_down_lets_open_streams_finish(running):
    with running.openai().chat.completions.create(
            model="simulator", stream=True, messages=[{"role": "user", "content": "Hello!"}],
            extra_headers={"x-headgate-sim": "gap=200;chunks=10"}) as stream:
        chunks = [next(iter(stream))]
        down = subprocess.Popen(running.command("down"), env=clean_environment(), stdout=subprocess.DEVNULL)
        chunks += list(stream)
        assert down.wait(60) == 0
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(pids(running).values())


def test_down_quick_does_not_wait(running):
    stream = running.openai().chat.completions.create(
        model="simulator", stream=True, messages=[{"role": "user", "content": "Hello!"}],
        extra_headers={"x-headgate-sim": "gap=60000;chunks=10"})
    next(iter(stream))
    running.cli("down", "--quick", timeout=20)
    assert not any(pids(running).values())
    stream.close()


# --- foreground -------------------------------------------------------------------------------------


@pytest.fixture
def foreground(fresh_gateway):
    gateway = fresh_gateway(start=False)
    process = subprocess.Popen(gateway.command("up", *gateway.options), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, env=clean_environment())
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "Ctrl-C" in line:
            break
    gateway.printed = "".join(printed)
    yield gateway, process
    if process.poll() is None:
        process.kill()
    process.stdout.close()
    process.wait()


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_foreground_stops_all_on_a_signal(foreground, signo):
    gateway, process = foreground
    run_in_shell(curl_line(gateway.printed) + " -s")
    before = pids(gateway)
    process.send_signal(signo)
    assert process.wait(30) == 0
    for pid in before.values():
        assert not alive(pid)


def test_foreground_killed_leaves_nothing_behind(foreground):
    gateway, process = foreground
    before = pids(gateway)
    process.kill()
    process.wait()
    until(lambda: not any(alive(p) for p in before.values()), 20, "all gone")


# --- what can be wrong ------------------------------------------------------------------------------


def test_port_in_use(fresh_gateway):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        for option in ("--listen", "--admin"):
            gateway = fresh_gateway(start=False)
            gateway.options[gateway.options.index(option) + 1] = address
            line = one_line(gateway.run("up", "--detach", *gateway.options))
            assert option in line and address in line and "in use" in line
            assert not gateway.home.exists()


@pytest.mark.parametrize("arguments, words", [
    (["--lisen", "x:1"], ["unknown option --lisen", "--listen"]),
    (["--workers", "many"], ["--workers", "many"]),
    (["--listen", "nonsense"], ["--listen", "HOST:PORT"]),
    (["--listen", "127.0.0.1:x"], ["127.0.0.1:x"]),
    (["--listen", "127.0.0.1:99999"], ["127.0.0.1:99999"]),
    (["--log-level", "loud"], ["--log-level", "debug"]),
    (["extra"], ["unexpected argument"]),
    (["--config", "/no/such/file"], ["/no/such/file", "no such file"]),
])
def test_wrong_command_lines(fresh_gateway, arguments, words):
    gateway = fresh_gateway(start=False)
    done = gateway.run("up", "--detach", *arguments)
    line = one_line(done, done.returncode)
    assert done.returncode in (1, 2)
    for word in words:
        assert word in line
    assert not gateway.home.exists()


def test_a_home_that_cannot_be_written(fresh_gateway):
    gateway = fresh_gateway(start=False, home="/proc/1/headgate")
    assert "/proc/1/headgate" in one_line(gateway.run("up", "--detach", *gateway.options))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hgt-", dir="/tmp"))
    try:
        (folder / "file").write_text("x")
        gateway = fresh_gateway(start=False, home=folder / "file")
        assert "file" in one_line(gateway.run("up", "--detach", *gateway.options))
        assert (folder / "file").read_text() == "x"
    finally:
        shutil.rmtree(folder)


def test_missing_programs(fresh_gateway):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hgt-", dir="/tmp"))
    try:
        shutil.copy(harness.BIN / "headgate", folder)
        gateway = fresh_gateway(start=False, bin_dir=folder)
        assert "headgate-controlplane" in one_line(gateway.run("up", "--detach", *gateway.options))
        assert not gateway.home.exists()
    finally:
        shutil.rmtree(folder)


def test_a_database_of_another_postgresql(running):
    running.down()
    version = running.home / "postgres" / "PG_VERSION"
    good = version.read_text()
    owner = version.stat()
    version.write_text("9\n")
    line = one_line(running.run("up", "--detach", *running.options))
    assert "PostgreSQL 9" in line and "not installed" in line
    version.write_text(good)
    os.chown(version, owner.st_uid, owner.st_gid)
    running.up()
    assert_works(running)


def test_postgresql_is_not_where_it_was_said_to_be(fresh_gateway):
    gateway = fresh_gateway(start=False)
    done = gateway.run("up", "--detach", *gateway.options, environment={"HEADGATE_POSTGRES_BIN": "/nowhere"})
    assert "/nowhere" in one_line(done)
    assert not gateway.home.exists()


def test_a_broken_configuration_starts_nothing(fresh_gateway, tmp_path):
    config = tmp_path / "headgate.yaml"
    config.write_text("providers:\n  - name: a\n    kind: simulator\n   bad: indent\n")
    gateway = fresh_gateway(start=False)
    done = gateway.run("up", "--detach", *gateway.options, "--config", str(config))
    assert f"{config}:4:" in one_line(done)
    assert not gateway.home.exists()


def test_a_wrong_configuration_leaves_nothing_running(fresh_gateway, tmp_path):
    config = tmp_path / "headgate.yaml"
    config.write_text("models:\n  - name: m\n    targets:\n      - { provider: nobody, model: x }\n")
    gateway = fresh_gateway(start=False)
    done = gateway.run("up", "--detach", *gateway.options, "--config", str(config))
    assert f"{config}:4:" in one_line(done)
    assert not any(pids(gateway).values())
    # with the file put right the same line works
    config.write_text("models:\n  - name: m\n    targets:\n      - { provider: simulator, model: x }\n")
    gateway.up("--config", str(config))
    assert gateway.chat("m").status_code == 200


# --- what is in the environment ---------------------------------------------------------------------


def test_a_provider_key_in_the_environment_adds_the_provider(fresh_gateway):
    gateway = fresh_gateway(environment={"OPENAI_API_KEY": "sk-not-a-real-key"})
    provider = gateway.cli_json("provider", "show", "openai")
    assert provider["kind"] == "openai"
    assert provider["credential"] == "env:OPENAI_API_KEY"
    with gateway.http() as client:
        served = {m["id"] for m in client.get("/v1/models").json()["data"]}
    assert {"simulator", "gpt-4o", "gpt-4o-mini"} <= served
    # only the control plane, which resolves the reference, has the variable
    for name in ("postgres", "dataplane"):
        assert b"OPENAI_API_KEY" not in open(f"/proc/{gateway.pid(name)}/environ", "rb").read()
    assert "sk-not-a-real-key" not in gateway.dump()


def test_config_at_start(fresh_gateway, tmp_path):
    config = tmp_path / "headgate.yaml"
    config.write_text("teams:\n  - name: research\nkeys:\n  - name: ci\n    team: research\n")
    gateway = fresh_gateway(start=False)
    out = gateway.up("--config", str(config))
    key = re.search(r"^key ci: (sk-hg-\S+)$", out, re.M).group(1)
    until(lambda: gateway.chat(key=key).status_code == 200, 5, "the new key")
    assert {k["name"] for k in gateway.cli_json("key", "list")["data"]} == {"default", "ci"}


# --- places -----------------------------------------------------------------------------------------


def test_a_very_long_path(fresh_gateway):
    """Sockets have at most 107 bytes of path."""
    base = harness.make_home().parent
    home = base / ("a" * 60) / ("b" * 60) / "home"
    home.parent.mkdir(parents=True)
    try:
        gateway = fresh_gateway(home=home)
        assert len(gateway.setting("run")) < 90
        assert_works(gateway)
        gateway.close()
    finally:
        shutil.rmtree(base)


def test_a_path_with_blanks_and_quotes(fresh_gateway):
    base = harness.make_home().parent
    try:
        gateway = fresh_gateway(home=base / "it's, a \"home\"")
        assert_works(gateway)
        gateway.close()
    finally:
        shutil.rmtree(base)


@pytest.mark.skipif(not IS_ROOT, reason="needs a directory that only root can enter")
def test_as_root_in_a_directory_nobody_else_can_enter(fresh_gateway):
    base = pathlib.Path(tempfile.mkdtemp(prefix="hgt-", dir="/tmp"))  # 0700
    try:
        gateway = fresh_gateway(home=base / "home")
        data = pathlib.Path(gateway.setting("data"))
        assert str(data).startswith("/var/lib/headgate/")
        assert (gateway.home / "postgres").resolve() == data / "postgres"
        assert stat.S_IMODE(gateway.home.stat().st_mode) == 0o700
        assert_works(gateway)
        gateway.down()
        gateway.up()
        assert_works(gateway)
        gateway.close()
        shutil.rmtree(data)
    finally:
        shutil.rmtree(base)


@pytest.fixture
def ordinary_user():
    """A user made for one test, and removed with everything it has."""
    name = "hgtest" + harness.marker()[:6]
    subprocess.run(["useradd", "--create-home", "--home-dir", f"/tmp/{name}", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", name], check=False, capture_output=True)
    shutil.rmtree(f"/tmp/{name}", ignore_errors=True)


@pytest.mark.skipif(not IS_ROOT or not shutil.which("useradd"), reason="only root can make a user")
def test_as_an_ordinary_user(fresh_gateway, ordinary_user):
    folder = pathlib.Path(ordinary_user.pw_dir) / "bin"
    shutil.copytree(harness.BIN, folder)
    for path in (folder, *folder.iterdir()):
        os.chmod(path, 0o755)
    gateway = fresh_gateway(start=False, home=pathlib.Path(ordinary_user.pw_dir) / ".headgate", bin_dir=folder,
                            run_as=ordinary_user.pw_name)
    out = gateway.up()
    run_in_shell(curl_line(out) + " -s")
    assert stat.S_IMODE(gateway.home.stat().st_mode) == 0o700
    for name in (*PARTS, "supervisor"):
        assert os.stat(f"/proc/{gateway.pid(name)}").st_uid == ordinary_user.pw_uid
    old = gateway.kill("postgres")
    until(lambda: gateway.pid("postgres") not in (0, old), 5, "PostgreSQL back")
    until(lambda: gateway.run("status").returncode == 0, 10, "all well")
    gateway.down()
    # root does not take over what belongs to somebody else
    other = fresh_gateway(start=False, home=gateway.home)
    assert "belongs to another user" in one_line(other.run("up", "--detach"))
    gateway.up()
    gateway.down()
