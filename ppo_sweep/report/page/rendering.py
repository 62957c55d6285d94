"""Content and template → one HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jinja2
from markupsafe import Markup

from ppo_sweep.report.page.content import Content

_HERE = Path(__file__).parent


def render(content: Content) -> str:
    """The page; everything that comes from runs is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    values = {spec.name: getattr(content, spec.name) for spec in fields(content)}
    return environment.get_template("page.html").render(values, css=_own("page.css"), js=_own("page.js"), svg=Markup)


def _own(name: str) -> Markup:
    """A file of ours, which goes in as it is."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))
