"""The image and the compose file agree with setup.cfg, with the configuration's keys and with each other."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lightmail.config import load
from tests.support.containers import compose, dockerfile, variables

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"MAIL_HOST": "mail.example.org", "DATABASE_PASSWORD": "d", "S3_SECRET_KEY": "s", "API_TOKEN": "t" * 40}


@pytest.fixture(scope="module")
def image():
    return dockerfile(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def services():
    return compose(ROOT / "compose.yaml", GIVEN)["services"]


@pytest.fixture(scope="module")
def configured(services, tmp_path_factory):
    """The configuration with which the server runs in its container."""
    return load(str(ROOT / "etc" / "container.ini"), services["mail"]["environment"])


def only(image, name):
    (found,) = [each for each in image if each.name == name]
    return found


def test_the_image_has_a_python_that_the_project_runs_on(image):
    project = configparser.ConfigParser()
    project.read(ROOT / "setup.cfg")
    least = project["options"]["python_requires"].removeprefix(">=").split(".")
    for base in (each.text for each in image if each.name == "FROM"):
        version = re.match(r"python:(\d+)\.(\d+)-slim-\w+", base)
        assert version, base
        assert [int(part) for part in version.groups()] >= [int(part) for part in least]


def test_all_that_is_copied_is_there_and_sent_to_the_engine(image):
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    sent = [rule[1:] for rule in rules if rule[0] == "!"]
    for copied in (each.words for each in image if each.name == "COPY" and "--from" not in each.text):
        for source in copied[:-1]:
            assert (ROOT / source).exists()
            assert any(fnmatch(source, pattern) for pattern in sent), source


def test_the_image_has_all_packages_of_the_project(image):
    """What setup.cfg installs comes from directories that the Dockerfile copies."""
    project = configparser.ConfigParser()
    project.read(ROOT / "setup.cfg")
    copied = {source for each in image if each.name == "COPY" for source in each.words[:-1]}
    places = dict(line.split(" = ") for line in project["options"]["package_dir"].split("\n") if line)
    for package in project["options"]["packages"].split():
        assert places.get(package, package.split(".")[0]) in copied
    assert project["options"]["py_modules"].strip().split(".")[0] in copied
    assert {"setup.cfg", "pyproject.toml", project["metadata"]["license_files"]} <= copied


def test_the_server_in_the_image_is_nobody_and_listens_on_what_is_exposed(image, configured):
    assert only(image, "USER").text == "lightmail"
    ports = {configured.imap.port, configured.imap.ssl_port, configured.pop3.port, configured.pop3.ssl_port}
    ports |= {configured.lmtp.port, configured.api.port}
    assert {int(port) for port in only(image, "EXPOSE").words} == ports
    assert min(ports) >= 1024, "nobody may take the ports below"
    binds = {configured.imap.bind, configured.pop3.bind, configured.lmtp.bind, configured.api.bind}
    assert binds == {"0.0.0.0"}
    assert f":{configured.api.port}/health" in only(image, "HEALTHCHECK").text
    assert configured.lmtp.socket is None


def test_each_variable_of_the_compose_file_is_a_key_and_each_secret_is_asked_for(configured, services):
    """An unknown key, or a value that cannot be, makes `load` raise."""
    assert configured.database.host in services
    assert configured.s3.endpoint == "http://objects:8333"
    assert configured.api.token == GIVEN["API_TOKEN"]
    for missing in GIVEN:
        with pytest.raises(KeyError, match=missing):
            compose(ROOT / "compose.yaml", {name: value for name, value in GIVEN.items() if name != missing})
    assert set(GIVEN) == variables(ROOT / "compose.yaml")
    told = (ROOT / "docs" / "install.md").read_text()
    assert all(f"{name}=" in told for name in GIVEN)


def test_services_refer_to_what_there_is(services):
    document = compose(ROOT / "compose.yaml", GIVEN)
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            needed = services[name]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in needed
            if how["condition"] == "service_completed_successfully":
                assert "restart" not in needed, f"{name} would be started again for ever"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in document["volumes"]


def test_the_database_and_the_server_agree(services, configured):
    made = services["database"]["environment"]
    assert made["MARIADB_DATABASE"] == configured.database.database
    assert made["MARIADB_USER"] == configured.database.user
    assert made["MARIADB_PASSWORD"] == configured.database.password
    keys = services["objects"]["environment"]
    assert (keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]) == (
        configured.s3.access_key,
        configured.s3.secret_key,
    )


def test_mail_can_be_brought_by_this_host_alone_and_read_by_the_world(services, configured):
    published = {}
    for port in services["mail"]["ports"]:
        outside, inside = port.rsplit(":", 1)
        published[int(inside)] = outside
    assert published[configured.lmtp.port].startswith("127.0.0.1:")
    assert published[configured.api.port].startswith("127.0.0.1:")
    assert published[configured.imap.ssl_port] == "993"
    assert published[configured.imap.port] == "143"
    assert published[configured.pop3.ssl_port] == "995"
    assert published[configured.pop3.port] == "110"


def test_a_container_is_given_the_time_that_a_server_takes_to_stop(services, configured):
    grace = int(services["mail"]["stop_grace_period"].removesuffix("s"))
    assert grace > configured.limits.drain_seconds + 10
