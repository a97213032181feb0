"""What the commands share: how errors are said, how a configuration is given, how a job runs in a session.

Invariant: nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from toolace_ray.engines.protocol import EngineError, EngineRefused
from toolace_ray.errors import RunStopped, UserError
from toolace_ray.text.tidy import printable

if TYPE_CHECKING:
    from jobs.session import Session
    from toolace_ray.config.tree import Config
    from toolace_ray.store.storage import RunStore

OURS, USER, SHORT, INTERRUPTED = 1, 2, 3, 130

DEFAULT_CONFIG = "configs/local.yaml"

Work = Callable[["Session"], dict[str, Any] | None]
Describe = Callable[["RunStore", Any, float], str]


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say a user's error in one sentence, exit code 2; an interrupt ends quietly; anything else is ours, exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            _say_error(error)
            sys.exit(USER)
        except KeyboardInterrupt:
            click.echo("\nstopped; the same command goes on from here", err=True)
            sys.exit(INTERRUPTED)
        except RunStopped as error:
            _say_error(error)
            sys.exit(OURS)
        except EngineError as error:
            _say_error(error)
            sys.exit(USER if isinstance(error, EngineRefused) else OURS)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                click.echo(
                    f"error: {error.filename or 'disk'}: no room on the disk; free some space and run it again",
                    err=True,
                )
                sys.exit(USER)
            raise

    return run


def _say_error(error: Exception) -> None:
    """Say an error; it may quote a server or a file."""
    click.echo(f"error: {printable(str(error))}", err=True)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --set; the command gets the Config first, and its errors are said as `guarded` says them."""

    @click.option("--config", "-c", "path", default=DEFAULT_CONFIG, show_default=True, help="Configuration file.")
    @click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. generate.quotas.single=50."
    )
    @wraps(command)
    def run(path: str, overrides: tuple[str, ...], **kwargs: Any) -> Any:
        return guarded(_with_config)(command, path, overrides, kwargs)

    return run


def _with_config(command: Callable[..., Any], path: str, overrides: tuple[str, ...], kwargs: dict[str, Any]) -> Any:
    from toolace_ray.config.load import load

    # Outside of the project's folder, `--set sources.openapi=...` alone is a configuration.
    nameless = path == DEFAULT_CONFIG and overrides and not os.path.exists(path)
    return command(load(None if nameless else path, overrides), **kwargs)


def in_session(config: Config, work: Work, describe: Describe) -> None:
    """Run a job in a session of its own and say what it made; exit code 3 where a quota was not reached."""
    from jobs.progress import Progress
    from jobs.session import session

    started = time.monotonic()
    with session(config, Progress()) as current:
        result = work(current)
        seconds = time.monotonic() - started
        text = describe(current.store, result, seconds)
    click.echo(text)
    if phases := current.progress.phases(seconds):
        click.echo(phases)
    if result and not all(item["reached"] for item in result.get("types", {}).values()):
        sys.exit(SHORT)


def as_program(work: Work, describe: Describe) -> None:
    """What `python -m jobs.<verb>` does: the job with --config and --set, as the command of that name."""

    @click.command(help=(work.__doc__ or "").strip().splitlines()[0])
    @configured
    def program(config: Config) -> None:
        in_session(config, work, describe)

    program()
