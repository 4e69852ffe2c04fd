"""Memory does not grow with the size of a message: measured in a process of its own, where nothing else has peaked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.seaweedfs import SeaweedFS


@pytest.mark.parametrize("driver", ["directory", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_message_of_50_mib_goes_in_and_out_in_less_than_16(
    driver: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place: list[str] = []
    if driver == "s3":
        server: SeaweedFS = request.getfixturevalue("s3_server")
        place = [server.endpoint, server.bucket, server.access_key, server.secret_key]
    command = [sys.executable, "-m", "tests.support.largeblob", driver, str(tmp_path), "50", *place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 20
