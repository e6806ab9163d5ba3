"""The command line: it parses, calls, prints, and holds no logic."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from rdbench import __version__
from rdbench.cli.about import cache, doctor, list_
from rdbench.cli.answers import plan, target, validate
from rdbench.cli.compare import bd, check, claims, methods
from rdbench.cli.look import export, inspect, plot, report, status
from rdbench.cli.make import fetch, rescore, run, train
from rdbench.errors import RdbenchError, Terminated
from rdbench.words import printable

if TYPE_CHECKING:
    pass

__all__ = ["main"]

INTERRUPTED = 130
TERMINATED = 128 + signal.SIGTERM


class Commands(click.Group):
    """A group that turns exceptions into one sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and exit with the code that fits."""
        as_program = not args and not kwargs
        kwargs["standalone_mode"] = False
        try:
            with _terminable():
                code = super().main(*args, **kwargs)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except click.UsageError as error:
            error.show()
            code = 2
        except (click.Abort, KeyboardInterrupt) as error:
            # click makes an Abort of others.
            code = _stopped(error.__cause__ or error)
        except click.ClickException as error:
            code = _say(error.format_message(), 2)
        except RdbenchError as error:
            code = _say(str(error), error.exit_code)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                where = f" ({error.filename})" if error.filename else ""
                code = _say(
                    f"No space left on the disk{where}: free some and run the same command again; "
                    "what was finished is kept.",
                    2,
                )
            elif error.errno is not None:
                code = _say(f"{error.filename or 'A file'} cannot be used: {error.strerror}.", 2)
            else:
                code = _ours(error)
        except Exception as error:
            if type(error).__module__ == "sqlite3":
                code = _say(f"The store of a run cannot be used ({error}).", 2)
            else:
                code = _ours(error)
        if as_program:
            # All is done and said: an interrupt on the way out ends it without a traceback.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as an interrupt does, where nobody has other plans with it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def _stopped(cause: BaseException) -> int:
    if isinstance(cause, EOFError):
        return _ours(cause)
    word, code = ("Terminated", TERMINATED) if isinstance(cause, Terminated) else ("Interrupted", INTERRUPTED)
    return _say(f"{word}: what was finished is kept; the same command goes on from there.", code)


def _say(text: str, code: int) -> int:
    click.echo(f"rdbench: {printable(text)}", err=True)
    return code


def _ours(error: BaseException) -> int:
    traceback.print_exception(error)
    return _say(
        f"This is an error of rdbench ({type(error).__name__}); please report it with the lines above.", 70
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rdbench")
def main() -> None:
    """How much recognition accuracy does each bit of video buy?

    \b
    rdbench run                                 the quick experiment, into results/quick/
    rdbench run --dataset clips/ --out results/mine
    rdbench plot results/mine                   R-D curves from its tables
    """


for _command in (
    *(run, train, rescore),
    *(plot, report, export, status, inspect, validate),
    *(bd, target, check, plan, methods, claims),
    *(list_, doctor, cache, fetch),
):
    main.add_command(_command)
