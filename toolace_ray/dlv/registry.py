"""The registry of rules, the package's own and the user's.

A rule is a pure function from a View (and its own settings, as keywords with defaults) to findings (message index or None,
evidence). Its docstring says what it holds and where it comes from; `aspect` names the row of the paper's Table 4. The
package's rules are registered when `toolace_ray.dlv.layer` is imported, a user's when `verify.modules` names them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from toolace_ray.config.tree import Severity
from toolace_ray.dlv.view import Finding
from toolace_ray.errors import UserError

Aspect = Literal["definition", "executability", "dialog", "consistency"]
Check = Callable[..., Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """A registered rule. `settings` are the check's keywords with their defaults."""

    id: str
    aspect: Aspect
    severity: Severity
    check: Check
    settings: dict[str, Any]

    @property
    def doc(self) -> str:
        """The first line of the check's docstring."""
        return (self.check.__doc__ or "").strip().splitlines()[0]


RULES: dict[str, Rule] = {}


def rule(aspect: Aspect, severity: Severity = "reject") -> Callable[[Check], Check]:
    """Register a check under its function's name; its keyword-only parameters are settings of verify.rules.<name>.

    Raises:
        UserError: a rule of that name is there already, or the check has no docstring.
    """
    if aspect not in get_args(Aspect) or severity not in get_args(Severity):
        raise UserError(f"rule({aspect!r}, {severity!r}): an aspect is one of {', '.join(get_args(Aspect))}; "
                        f"a severity one of {', '.join(get_args(Severity))}")  # fmt: skip

    def register(check: Check) -> Check:
        name = check.__name__
        existing = RULES.get(name)
        if existing is not None and (existing.check.__module__, existing.check.__qualname__) != (
            check.__module__,
            check.__qualname__,
        ):
            raise UserError(f"verify.modules: {check.__module__}: a rule is named {name} already; choose another name")
        if not (check.__doc__ or "").strip():
            raise UserError(
                f"verify.modules: {check.__module__}: the rule {name} needs a docstring that says what it holds"
            )
        settings = {
            key: parameter.default
            for key, parameter in inspect.signature(check).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        RULES[name] = Rule(name, aspect, severity, check, settings)
        return check

    return register


def load_modules(names: Iterable[str]) -> None:
    """Import the users' rules: files (a path that ends in .py) or modules (a dotted name). Raises UserError."""
    for name in names:
        try:
            if name.endswith(".py"):
                path = Path(name).resolve()
                module_name = f"toolace_rules_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
                if module_name in sys.modules:
                    continue
                spec = importlib.util.spec_from_file_location(module_name, path)
                if spec is None or spec.loader is None:
                    raise ImportError("no Python module")
                module = importlib.util.module_from_spec(spec)
                sys.modules[module_name] = module
                try:
                    spec.loader.exec_module(module)
                except BaseException:
                    del sys.modules[module_name]
                    raise
            else:
                importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:  # whatever a user's module does while it is imported
            raise UserError(f"verify.modules: {name}: cannot be imported ({type(error).__name__}: {error})") from error
