"""pgTAP: what the database itself holds, whoever asks. tests/pgtap/*.sql against a gateway that was used a little."""

import os
import subprocess

import pytest

import harness

FILES = sorted((harness.ROOT / "tests" / "pgtap").glob("*.sql"))


@pytest.fixture(scope="module")
def used():
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        gateway.apply({"teams": [{"name": "tap"}], "keys": [{"name": "tap", "team": "tap"}]})
        for _ in range(3):
            gateway.wait_usage(gateway.chat().headers["x-request-id"])
            assert gateway.admin("POST", "/keys", json={"name": harness.marker(), "team": "tap"}).status_code == 201
        gateway.sql("CREATE SCHEMA tap; CREATE EXTENSION pgtap SCHEMA tap; GRANT USAGE ON SCHEMA tap TO headgate_app; "
                    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO headgate_app")
        yield gateway
    finally:
        gateway.close()


def prove(gateway, file):
    environment = harness.clean_environment({"LC_ALL": "C.UTF-8", "PGOPTIONS": "-c search_path=public,tap"})
    return subprocess.run(["pg_prove", "--verbose", "--psql-bin", gateway.postgres_program("psql"), "-h", gateway.setting("run"), "-U",
                           "headgate_owner", "-d", "headgate", str(file)], capture_output=True, text=True, timeout=60,
                          check=False, env=environment, cwd=os.path.dirname(file))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_database_holds(used, file):
    done = prove(used, file)
    told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("ok ")]
    assert done.returncode == 0 and "Result: PASS" in done.stdout, "\n".join(told)


def test_a_grant_that_nobody_reviewed_fails(used):
    used.sql("GRANT UPDATE ON audit_log TO headgate_app")
    try:
        for name in ("grants", "append_only"):
            done = prove(used, harness.ROOT / "tests" / "pgtap" / f"{name}.sql")
            assert done.returncode != 0 and "audit_log" in done.stdout, name
    finally:
        used.sql("REVOKE UPDATE ON audit_log FROM headgate_app")
