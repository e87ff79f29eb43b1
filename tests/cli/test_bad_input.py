"""Every mistake is one line that says what to do, exit code 2, and nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genmat.cli.entry import _explain, hoist_global_options, run
from genmat.errors import GenmatError, PotentialError

from .conftest import CAMPAIGN, hold_by_another_process, set_state


def tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("learn:", "lern:", "Did you mean 'learn'"),
        ("Mg,", "Mgg,", "'Mgg' is not a chemical element"),
        ("learn:", "target: {}\nlearn:", "give every key once"),
        ("elements: [Li, Na, K, Mg, O, F, Cl]", "elements: []", "at least one"),
        ("max: 0.08", "max: .inf", "finite"),
        ("max: 0.08", "min: 0.2, max: 0.1", "0.2"),
        ("generate:", "  symmetry: {space_groups: [231]}\ngenerate:", "231 is not a space group"),
        ("name: salts", "name: [", "is not YAML"),
    ],
)
def test_a_wrong_campaign_file_is_told_in_one_line(tmp_path, genmat, old, new, expected):
    Path("wrong.yaml").write_text(CAMPAIGN.replace(old, new, 1))
    before = tree(tmp_path)
    result = genmat("run", "wrong.yaml")
    assert result.code == 2
    assert expected in result.line
    assert "wrong.yaml" in result.line
    assert tree(tmp_path) == before


def test_a_missing_campaign_file_names_the_nearest(genmat, campaign_file):
    result = genmat("run", "salt.yaml")
    assert (result.code, result.out) == (2, "")
    assert "Did you mean 'salts.yaml'" in result.line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("stauts",), "Did you mean 'status'"),
        (("status", "--jsn"), "Did you mean '--json'"),
        (("list",), "missing argument"),
        (("list", "salts", "--limit", "many"), "--limit"),
        (("list", "salts", "--limit", "-1"), "--limit"),
        (("--log-levle", "debug", "status"), "Did you mean '--log-level'"),
        (("run",), "missing argument"),
        (("data", "sohw"), "Did you mean 'show'"),
        (("top", "salts", "more"), "more"),
        (("--log-level", "loud", "status"), "log_level"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_usage_error_is_one_line(genmat, arguments, expected):
    result = genmat(*arguments)
    assert (result.code, result.out) == (2, "")
    assert expected.lower() in result.line.lower()


@pytest.mark.parametrize("verb", ["status", "list", "top", "export", "resume"])
def test_an_unknown_campaign_names_the_nearest(salts, genmat, verb):
    result = genmat(verb, "salt")
    assert result.code == 2
    assert "no campaign 'salt' in this database. Did you mean 'salts'" in result.line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--stage", "stabilty"), "Did you mean 'stability'"),
        (("--reason", "above-hul"), "Did you mean 'above_hull'"),
        (("--status", "acepted"), "Did you mean 'accepted'"),
        (("--elements", "Na,Xx"), "'Xx' is not a chemical element"),
        (("--formula", "NaCl-"), "--formula"),
        (("--space-group", "231"), "--space-group"),
        (("--space-group", "Fm-3n"), "is not a space group"),
        (("--sort", "energy"), "--sort 'energy' is unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_filter_is_told(salts, genmat, arguments, expected):
    result = genmat("list", "salts", *arguments)
    assert result.code == 2
    assert expected in result.line


@pytest.mark.parametrize("verb", ["show", "why"])
def test_an_unknown_id_is_told(salts, genmat, verb):
    result = genmat(verb, "zzz")
    assert result.code == 2
    assert "no c" in result.line
    assert "'zzz'" in result.line


def test_an_ambiguous_id_names_what_it_may_mean(salts, genmat):
    result = genmat("show", "")
    assert result.code == 2
    assert "several ids" in result.line


def test_why_of_a_campaign_points_to_its_list(salts, genmat):
    assert "genmat list salts" in genmat("why", "salts").line


def test_a_verb_that_needs_results_says_that_there_are_none(genmat):
    result = genmat("top", "salts")
    assert result.code == 2
    assert "nothing was run yet" in result.line


def test_an_unknown_export_format_names_the_nearest(salts, genmat):
    assert "Did you mean 'extxyz'" in genmat("export", "salts", "--format", "xyz").line


def test_an_unreachable_database_is_one_line_without_the_password(genmat, monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URI", "mongodb://user:s3cret@127.0.0.1:9/genmat")
    monkeypatch.setenv("GENMAT_DATABASE_TIMEOUT", "0.2")
    monkeypatch.setenv("GENMAT_RETRY_TIME", "0")
    result = genmat("status")
    assert result.code == 2
    assert "cannot be reached" in result.line
    assert "s3cret" not in result.err


def test_a_mistyped_setting_is_one_line(genmat, monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URL", "x")
    assert "Did you mean 'GENMAT_DATABASE_URI'" in genmat("status").line


def test_an_output_folder_that_cannot_be_written_stops_a_run_before_it_starts(tmp_path, genmat, campaign_file):
    Path("file").write_text("")
    before = tree(tmp_path)
    result = genmat("run", campaign_file, "--output", "file/results")
    assert result.code == 2
    assert "folder file/results cannot be written" in result.line
    assert tree(tmp_path) == before


def test_a_data_folder_that_cannot_be_written_is_one_line(genmat, campaign_file, tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("GENMAT_MONGOD", "/bin/false")
    result = genmat("run", campaign_file, "--data-folder", tmp_path / "blocked" / "data")
    assert result.code == 2
    assert "blocked" in result.line


@pytest.mark.parametrize("arguments", [("run", "salts.yaml"), ("resume", "salts")], ids=" ".join)
def test_a_second_run_of_a_running_campaign_is_refused(salts, genmat, campaign_file, arguments):
    hold_by_another_process(salts)
    result = genmat(*arguments, "--log-level", "error")
    assert result.code == 2
    last = result.err.splitlines()[-1]
    assert last.startswith("genmat: campaign 'salts' is being run by process")


def test_the_name_of_another_configuration_is_refused_with_the_difference(salts, genmat, campaign_file):
    campaign_file.write_text(CAMPAIGN.replace("seed: 3", "seed: 4"))
    result = genmat("run", campaign_file, "--log-level", "error")
    assert result.code == 2
    last = result.err.splitlines()[-1]
    assert last.startswith("genmat: ")
    assert "generate.seed: 3 → 4" in last


def test_a_finished_campaign_is_not_run_again(salts, genmat, campaign_file):
    set_state(salts, "finished")
    folder = Path("genmat-output/salts")
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("mine")
    result = genmat("run", campaign_file)
    assert result.code == 0
    assert "finished already, nothing to do" in result.out
    assert [path.name for path in folder.iterdir()] == ["report.html"]


def test_a_log_file_that_cannot_be_written_is_one_line(genmat):
    Path("file").write_text("")
    result = genmat("status", "--log-file", "file/log")
    assert result.code == 2
    assert "log file file/log cannot be written" in result.line


def test_an_unexpected_error_is_one_line_and_its_traceback_in_a_file(genmat, monkeypatch):
    monkeypatch.setattr("genmat.cli.session.Session.reader", lambda *_, **__: 1 / 0)
    result = genmat("status")
    assert result.code == 1
    place = Path(result.line.rpartition("the traceback is in ")[2])
    assert "ZeroDivisionError" in place.read_text()
    place.unlink()
    assert "Traceback" in genmat("status", "--log-level", "debug").err


@pytest.mark.parametrize("number", [28, 30, 13])
def test_full_read_only_and_forbidden_places_are_one_line(genmat, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(number, "says no", "/somewhere")

    monkeypatch.setattr("genmat.cli.session.Session.reader", fail)
    result = genmat("status")
    assert (result.code, result.line) == (2, "genmat: /somewhere: says no")


def test_an_interrupt_is_one_line_and_130(genmat, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("genmat.cli.session.Session.reader", interrupt)
    result = genmat("status")
    assert (result.code, result.line) == (130, "genmat: interrupted")


def test_an_interrupted_run_says_how_to_resume(salts, genmat, campaign_file, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    set_state(salts, "running")
    monkeypatch.setattr("genmat.cli.running._run_and_write", interrupt)
    result = genmat("run", campaign_file)
    assert result.code == 130
    last = result.err.splitlines()[-1]
    assert last == "genmat: interrupted; nothing is lost, continue with: genmat resume salts"


def test_global_options_may_stand_after_the_verb():
    given = ["run", "a.yaml", "--log-level", "debug", "--log-file=x", "--", "--log-level"]
    assert hoist_global_options(given) == ["--log-level", "debug", "--log-file=x", "run", "a.yaml", "--", "--log-level"]


def test_errors_leave_json_on_standard_output_empty(salts, genmat):
    result = genmat("list", "salt", "--json")
    assert result.out == ""
    assert json.loads(genmat("list", "salts", "--json").out)


def test_an_error_without_a_remedy_names_the_command_that_shows_more(capfd):
    for kind in [GenmatError, *descendants(GenmatError)]:
        assert _explain(kind("the file is cut off")) == 2
        line = capfd.readouterr().err.strip()
        assert line == f"genmat: the file is cut off. See: {kind.see}"
        assert run([*kind.see.split()[1:], *(() if "--help" in kind.see else ("--help",))]) == 0
        capfd.readouterr()


def test_an_error_that_says_what_to_do_is_left_as_it_is(capfd):
    _explain(PotentialError("'chgnett' is no potential. Did you mean 'chgnet-0.3.0'?"))
    assert capfd.readouterr().err == "genmat: 'chgnett' is no potential. Did you mean 'chgnet-0.3.0'?\n"


def descendants(kind: type[GenmatError]) -> list[type[GenmatError]]:
    return [found for child in kind.__subclasses__() for found in (child, *descendants(child))]
