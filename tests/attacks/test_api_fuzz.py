"""The whole API under schemathesis, from its own document: no input makes a bug of ours, and no answer is undocumented.

It asks each endpoint for what the document allows and for what it does not: wrong types, missing and unknown fields,
bounds, odd texts, wrong methods, wrong credentials, chains of requests that use what others made.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from openapi_spec_validator import validate
from twisted.logger import capturedLogs, formatEvent

from lightmail.web.api.openapi import document
from lightmail.web.api.table import ENDPOINTS
from tests.support.apikit import TOKEN, serve_api
from tests.support.apiworld import settle
from tests.support.storekit import BACKENDS, fresh_config, open_store

# 422: what a schema cannot say, such as a cursor of another list, or an address of no domain's form. 413: a text that
# is too long may make a body that is too big, which is refused before it is looked into.
_CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]
"""


# It does not ask for the document itself.
OPERATIONS = len(ENDPOINTS) - 1


def fuzz(kind: str, directory: Path, *options: str) -> str:
    """What schemathesis says of the API on a fresh store; fails where it finds anything, or a bug was logged."""
    (directory / "schemathesis.toml").write_text(_CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    with (
        fresh_config(kind, directory) as config,
        open_store(config) as store,
        serve_api(store) as api,
        capturedLogs() as records,
    ):
        settle(api, "alpha")
        settle(api, "beta")
        address = f"http://127.0.0.1:{api.port}/openapi.json"
        command = [program, "run", address, "--header", f"Authorization: Bearer {TOKEN}", "--no-color", *options]
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        bugs = [formatEvent(record) for record in records if "log_failure" in record]
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert bugs == []
    return done.stdout


def test_nothing_is_found_in_a_few_examples(tmp_path):
    said = fuzz("sqlite", tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--seed", "1")
    assert f"{OPERATIONS} selected / {OPERATIONS} total" in said


@pytest.mark.heavy
@pytest.mark.parametrize("kind", BACKENDS)
def test_nothing_is_found(kind, tmp_path):
    said = fuzz(kind, tmp_path, "--max-examples", "50")
    assert f"{OPERATIONS} selected / {OPERATIONS} total" in said


def test_the_document_is_valid_openapi():
    validate(document(ENDPOINTS))


def test_every_endpoint_stands_once_in_the_table():
    names = [(each.method, each.path) for each in ENDPOINTS]
    assert len(set(names)) == len(names)


def test_every_code_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    codes = {code for each in ENDPOINTS for code in each.codes}
    for module in (Path(__file__).parents[2] / "lightmail" / "web" / "api").glob("*.py"):
        codes |= set(re.findall(r'Problem\(\s*[45][0-9]{2},\s*"([a-z_]+)"', module.read_text(encoding="utf-8")))
    assert {"no_such_account", "bad_json", "scope_missing"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def test_every_endpoint_stands_in_the_page():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [f"{each.method} {each.path}" for each in ENDPOINTS if f"`{each.method} {each.path}`" not in page]
    assert missing == []


def test_whatever_the_path_is(tmp_path):
    with fresh_config("sqlite", tmp_path) as config, open_store(config) as store, serve_api(store) as api:
        for part in (
            "..",
            ".",
            "",
            "%00",
            "%2e%2e%2fetc",
            quote("\u202e"),
            "x" * 8000,
            "%",
            "%zz",
            "*",
            "?",
            "#",
            "\\",
        ):
            for path in (f"/{part}", f"/admin/accounts/{part}", f"/admin/{part}/1", f"//{part}"):
                assert api.request("GET", path).status in (200, 400, 404, 405, 422), path
