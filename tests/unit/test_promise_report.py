"""The promise report: what it refuses, writes and says."""

import json

import pytest

from tests import promise_report

INI = """
[pytest]
markers =
    promise(*ids): the promises that the test proves
addopts = --strict-markers
asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(INI)
    page = pytester.mkdir("tests") / "promises.md"
    page.write_text("# Promises\n\n- S0-01: kept\n- S0-02: broken\n- S0-03: forgotten\n\nS9-99 is prose.\n")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*arguments, plugins=[promise_report])


def test_a_mark_that_names_an_unknown_promise_stops_the_session(project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\n@pytest.mark.promise('S0-01', 'S9-99')\ndef test_it(): pass")

    result = run(project)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_it: S9-99 not in tests/promises.md*"])


def test_the_report_lists_every_promise_with_its_tests_and_their_outcomes(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def leak():
            yield
            raise RuntimeError("in tear-down")

        @pytest.mark.promise("S0-01")
        def test_good(): pass

        @pytest.mark.promise("S0-01", "S0-02")
        def test_bad(): assert False

        @pytest.mark.promise("S0-02")
        def test_leaking(leak): pass

        @pytest.mark.promise("S0-02")
        @pytest.mark.skip(reason="no oven")
        def test_absent(): pass

        def test_of_no_promise(): pass
        """
    )

    result = run(project, "--promises", "build/promises.json")

    assert json.loads((project.path / "build" / "promises.json").read_text()) == {
        "S0-01": [
            {"test": "test_it.py::test_good", "outcome": "passed"},
            {"test": "test_it.py::test_bad", "outcome": "failed"},
        ],
        "S0-02": [
            {"test": "test_it.py::test_bad", "outcome": "failed"},
            {"test": "test_it.py::test_leaking", "outcome": "failed"},
            {"test": "test_it.py::test_absent", "outcome": "skipped"},
        ],
        "S0-03": [],
    }
    result.stdout.fnmatch_lines(["*of 3 promises 0 proved, 2 broken, 1 without a test*"])


def test_skipped_tests_are_named_loudly_even_in_a_quiet_run(project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\n@pytest.mark.skip(reason='no oven')\ndef test_it(): pass")

    result = run(project, "-q")

    result.stdout.fnmatch_lines(["NOT TESTED: 1 skipped: no oven"])


def test_no_file_is_written_unless_asked_for(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")

    run(project).assert_outcomes(passed=1)

    assert not (project.path / "build").exists()
