from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from genmat.errors import SettingsError
from genmat.settings import LogLevel, Settings, config_file

SECRET = "hunter2-planted"  # noqa: S105 - planted to be looked for


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith("GENMAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def write_config():
    def write(text):
        config_file().parent.mkdir(parents=True, exist_ok=True)
        config_file().write_text(text)

    return write


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_defaults_follow_xdg(tmp_path):
    assert Settings.load().data_folder == tmp_path / "data" / "genmat"


def test_a_relative_xdg_folder_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "here")
    assert Settings.load().data_folder == Path.home() / ".local/share/genmat"


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(monkeypatch, write_config):
    assert Settings.load().log_level is LogLevel.WARNING
    write_config("log_level: info\n")
    assert Settings.load().log_level is LogLevel.INFO
    monkeypatch.setenv("GENMAT_LOG_LEVEL", "debug")
    assert Settings.load().log_level is LogLevel.DEBUG
    assert Settings.load(log_level="error").log_level is LogLevel.ERROR


def test_each_value_tells_where_it_came_from(monkeypatch, write_config):
    write_config("log_level: info\ntrajectories: 3\n")
    monkeypatch.setenv("GENMAT_TRAJECTORIES", "5")
    flags = {"mongod_idle": 1.0, "retry_time": None}
    sources = Settings.load(**flags).sources(**flags)
    assert sources["mongod_idle"] == "flag"
    assert sources["trajectories"] == "GENMAT_TRAJECTORIES"
    assert sources["log_level"] == str(config_file())
    assert sources["retry_time"] == "default"
    assert set(sources) == set(Settings.model_fields)


def test_a_file_in_the_current_folder_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("config.yaml", ".env", "genmat.yaml"):
        Path(name).write_text("GENMAT_LOG_LEVEL=debug\n" if name == ".env" else "log_level: debug\n")
    assert Settings.load().log_level is LogLevel.WARNING


def test_an_empty_variable_counts_as_absent(monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URI", "")
    settings = Settings.load()
    assert settings.database_uri is None
    assert settings.sources()["database_uri"] == "default"


def test_a_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("GENMAT_REFERENCE", "~/reference.parquet")
    assert Settings.load().reference == Path.home() / "reference.parquet"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("GENMAT_DATABASE_URL", "GENMAT_DATABASE_URI"),
        ("GENMAT_LOGLEVEL", "GENMAT_LOG_LEVEL"),
        ("GENMAT_DATA_DIR", "GENMAT_DATA_FOLDER"),
    ],
)
def test_a_mistyped_variable_names_the_nearest(monkeypatch, name, nearest):
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"unknown setting {name} in the environment. Did you mean '{nearest}'"):
        Settings.load()


def test_a_foreign_variable_is_ignored_with_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("GENMAT_QUEUE_OF_MINE", "x")
    with caplog.at_level(logging.WARNING):
        Settings.load()
    assert "GENMAT_QUEUE_OF_MINE in the environment is no setting of genmat" in caplog.text


def test_the_variable_of_the_tests_is_no_mistake(monkeypatch, caplog):
    monkeypatch.setenv("GENMAT_SHARED", "/data")
    Settings.load()
    assert caplog.text == ""


def test_an_unknown_key_in_the_file_names_the_file_and_the_nearest(write_config):
    write_config("loglevel: info\n")
    with pytest.raises(SettingsError, match=r"unknown setting 'loglevel' in \S+config.yaml. Did you mean 'log_level'"):
        Settings.load()


def test_an_unknown_flag_names_the_nearest():
    with pytest.raises(SettingsError, match=r"unknown setting 'mongo' in flag. Did you mean 'mongod'"):
        Settings.load(mongo="/bin/mongod")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GENMAT_LOG_LEVEL", "loud", "log_level .from GENMAT_LOG_LEVEL.: Input should be 'debug', 'info'"),
        ("GENMAT_RETRY_TIME", "nan", "retry_time .from GENMAT_RETRY_TIME.: .*finite"),
        ("GENMAT_TRAJECTORIES", "-1", "greater than or equal to 0; it means: Relaxation trajectories kept"),
        ("GENMAT_DATABASE_NAME", "a b", "should match pattern"),
    ],
)
def test_a_wrong_value_names_setting_source_and_meaning(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log_level: [\n", r"config.yaml line 2 is not YAML: "),
        ("log_level: info\nlog_level: debug\n", r"line 2 is not YAML: found duplicate key"),
        ("- a\n", "holds a list, expected settings such as"),
    ],
)
def test_a_file_that_is_no_settings_is_one_clear_line(write_config, text, message):
    write_config(text)
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"database_uri: mongodb://ann:{SECRET}@h\ndatabase_uri: x\n",
        f"database_uri: x\ndatabase_uri: mongodb://ann:{SECRET}@h\n",
        f"database_uri: 'mongodb://ann:{SECRET}@h\n",
        f"database_uri: [mongodb://ann:{SECRET}@h]\n",
    ],
)
def test_a_password_in_a_wrong_file_is_not_repeated(write_config, text):
    write_config(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_is_not_shown():
    settings = Settings.load(database_uri=f"mongodb://ann:{SECRET}@db.example")
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()
    assert SECRET in settings.database_uri.get_secret_value()


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().log_level = LogLevel.DEBUG
