"""The command line itself: options, errors in one line, sizes. What the verbs do is tested with real servers."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lightmail.cli import cli, main
from lightmail.cli.common import size_text


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.ini"
    path.write_text("[database]\ndriver = sqlite\npassword = sesame\n[storage]\ndriver = directory\n")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_config_check(config):
    assert run("config", "check", "--config", config).output == f"{config}: OK\n"


def test_config_check_reads_the_template_of_the_warning(config, tmp_path, monkeypatch, capsys):
    template = tmp_path / "template"
    template.write_text("no subject")
    Path(config).write_text(Path(config).read_text() + f"[quota]\nwarning_template = {template}\n")
    monkeypatch.setattr("sys.argv", ["lightmail", "config", "check", "--config", config])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"lightmail: [quota] warning_template: {template}: ")


@pytest.mark.parametrize("order", [("--config", None, "config", "show"), ("config", "show", "--config", None)])
def test_the_file_may_be_named_before_or_after_the_verb(config, order):
    done = run(*(word or config for word in order))
    assert done.exit_code == 0
    assert f"# from {config}" in done.output
    assert "\n[database]\ndriver = sqlite\n" in done.output


def test_secrets_are_hidden(config):
    output = run("config", "show", "--config", config).output
    assert "sesame" not in output
    assert "password = (hidden)" in output


@pytest.mark.parametrize("verb", ["domain list", "account list", "alias list", "migrate", "config check"])
def test_whatever_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, verb):
    missing = str(tmp_path / "none.ini")
    monkeypatch.setattr("sys.argv", ["lightmail", *verb.split(), "--config", missing])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"lightmail: {missing}: No such file or directory; name a readable file with --config\n"
    )


def test_every_verb_has_help_and_takes_a_configuration():
    def verbs(command, words):
        if not isinstance(command, click.Group):
            yield words
        else:
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from verbs(command.get_command(context, name), [*words, name])

    every = [" ".join(words) for words in verbs(cli, [])]
    wanted = (
        "migrate|config check|config show|domain add|domain set|domain list|domain delete|"
        "account add|account set|account list|account passwd|account disable|account enable|"
        "account delete|account show|account restore|app-password add|app-password list|app-password revoke|"
        "alias add|alias list|alias delete"
    )
    assert set(wanted.split("|")) <= set(every)
    for verb in wanted.split("|"):
        done = run(*verb.split(), "--help")
        assert done.exit_code == 0
        assert "--config FILE" in done.output


@pytest.mark.parametrize("quota", ["10X", "-1", "ten"])
def test_bad_quotas(config, quota):
    done = run("account", "set", "a@example.org", f"--quota={quota}", "--config", config)
    assert done.exit_code == 2
    assert "must be a size in octets such as 50M or 10G" in done.output


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (812, "812"), (1536, "1.5K"), (10 << 30, "10G"), (1 << 40, "1T")])
def test_sizes(size, text):
    assert size_text(size) == text
