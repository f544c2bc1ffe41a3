"""schemathesis on /openapi.json of the running server: all its default checks, a fixed seed, a bounded number of examples."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import ACCOUNT, PATIENCE, TOKEN, Server

EXAMPLES = 30
"""Cases for each operation in each phase that invents some."""


def described(server):
    return requests.get(f"{server.base}/openapi.json", timeout=PATIENCE).json()


@pytest.fixture
def fresh_server(application):
    """A server that no other test has left calls on."""
    server = Server(application)
    yield server
    server.close()


@pytest.mark.parametrize("known", ["only the account is known", "a live call is known"])
def test_schemathesis_finds_no_fault(fresh_server, call, tmp_path, known):
    # After ten guesses a minute it is 429 and no longer 401: see test_nobody_gets_in_by_guessing.
    parameters, excluded = {"path.AccountSid": ACCOUNT}, ["ignored_auth"]
    if known == "a live call is known":
        parameters["path.CallSid"] = call("/hold", at=fresh_server).is_live().call_sid
        # A call that one request has ended rightly refuses the next one, however valid.
        excluded.append("positive_data_acceptance")
    lines = "".join(f'"{name}" = "{value}"\n' for name, value in parameters.items())
    (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{lines}")
    # A WebSocket upgrade that succeeds is an answer 101, which schemathesis holds for a fault of the server.
    more = ["--exclude-checks", ",".join(excluded), "--exclude-path-regex", "^/media/"]
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{fresh_server.base}/openapi.json",
        "--auth", f"{ACCOUNT}:{TOKEN}", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color",
        "--generation-database", "none", "--request-timeout", str(PATIENCE), *more,
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-20000:] + ran.stderr[-4000:]


def test_nobody_gets_in_by_guessing(fresh_server):
    open_to_all = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
    paths = described(fresh_server)["paths"]
    operations = [
        (method, re.sub(r"\{AccountSid\}", ACCOUNT, path))
        for path, methods in paths.items()
        for method in methods
        if path not in open_to_all and not path.startswith("/media/")
    ]
    assert len(operations) >= 15
    for method, path in operations:
        url = fresh_server.base + re.sub(r"\{\w+\}", "x", path)
        assert requests.request(method, url, timeout=PATIENCE).status_code in {401, 429}, path
    guesses = [
        requests.request(method, fresh_server.base + re.sub(r"\{\w+\}", "x", path), auth=(ACCOUNT, "wrong"), timeout=PATIENCE)
        for method, path in operations
    ]
    assert {answer.status_code for answer in guesses} <= {401, 429}
    assert requests.get(f"{fresh_server.base}/v1/payments", auth=(ACCOUNT, TOKEN), timeout=PATIENCE).status_code == 200


def test_the_description_names_every_path_of_the_contract(server):
    paths = {re.sub(r"\{\w+\}", "{}", path): set(methods) for path, methods in described(server)["paths"].items()}
    calls = "/2010-04-01/Accounts/{}/Calls"
    for path, methods in {
        f"{calls}.json": {"get"},
        f"{calls}/{{}}.json": {"get", "post"},
        f"{calls}/{{}}/Payments.json": {"get", "post"},
        f"{calls}/{{}}/Payments/{{}}.json": {"get", "post"},
        "/v1/payments": {"get"},
        "/v1/payments/{}": {"get"},
        "/v1/connectors": {"get", "post"},
        "/v1/connectors/{}": {"get", "patch", "delete"},
        "/v1/connectors/{}/live": {"post"},
        "/healthz": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
    }.items():
        assert methods <= paths.get(path, set()), path
