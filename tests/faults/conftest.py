"""Table of the injected faults, printed at the end of the tests."""

import pytest

ROWS: list[tuple[str, int, str]] = []
"""Injected fault, number of injections, and outcome."""


@pytest.fixture
def report_fault():
    """`report_fault(fault, times, outcome)` adds a row to the table."""
    return lambda fault, times, outcome: ROWS.append((fault, times, outcome))


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("injected faults")
    for row in [("fault", "times", "outcome"), ("---", "---", "---"), *ROWS]:
        terminalreporter.write_line(f"| {' | '.join(map(str, row))} |")
    kills = sum(times for fault, times, _ in ROWS if fault.startswith("SIGKILL"))
    terminalreporter.write_line(f"{kills} kills in total")
