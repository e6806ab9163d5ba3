"""What README tells people to type works: every option exists, and what reads a finished run is run on the reference."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from rdbench.cli import group

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
READING = ("bd", "check", "target", "report", "list", "status", "validate")


def commands(page: Path) -> list[list[str]]:
    """Command lines of a page's shell blocks, without what stands behind them as a remark."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [shlex.split(line, comments=True) for line in lines if line.startswith("rdbench ")]
    return [part[1:] for part in parts]


def test_every_page_with_commands_is_read():
    assert len(commands(PAGES[0])) >= 12
    assert sum(len(commands(page)) for page in PAGES) >= 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_option_of_the_pages_exists(page):
    for words in commands(page):
        command = group.main.get_command(None, words[0])
        assert command is not None, words
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
        assert given <= known | {"--help"}, words


@pytest.mark.parametrize(
    "words", [words for words in commands(PAGES[0]) if words[0] in READING], ids=" ".join
)
def test_what_readme_reads_from_a_run_it_reads(words, tmp_path):
    reference = str(ROOT / "results" / "reference" / "quick")
    moved = [reference if word.startswith("results/") else word for word in words]
    moved = [str(tmp_path / word) if word.endswith(".html") else word for word in moved]
    done = CliRunner().invoke(group.main, moved, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output.strip()
