"""The registry of families: complete, in known words, and shown by the README."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import spectral_kernels as sk
from spectral_kernels.api.families import registry, table
from spectral_kernels.api.markdown import replace_block

README = Path(__file__).parent.parent / "README.md"
PUBLIC = {name for name, value in vars(sk.families).items() if callable(value) and not name.startswith("_")}


def test_every_public_function_is_a_family():
    assert set(registry.families()) == PUBLIC
    assert all(getattr(sk.families, name) is entry.function for name, entry in registry.families().items())


@pytest.mark.parametrize("name", sorted(registry.families()))
def test_docstrings_say_what_users_need(name):
    text = registry.families()[name].function.__doc__
    assert doctest.DocTestParser().get_examples(text), "a runnable example"
    assert all(heading in text for heading in ("Args:", "Returns:", "Raises:", "Source:", "Eigenvalues", "Gauge"))


def test_structures_are_classes():
    named = {c for f in registry.families().values() for s in f.structure for c in registry.STRUCTURES[s][0].split(", ")}
    assert {c for c in named if hasattr(sk.transitions, c)} == named


def test_the_registry_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="got C99"):
        registry.family("x", "C99", cost="", range="", source="")(lambda: None)
    with pytest.raises(ValueError, match="got kernel"):
        registry.family("x", "C0", cost="", range="", source="", gauge="kernel")(lambda: None)
    with pytest.raises(ValueError, match="gru is taken by 'GRU'"):
        registry.family("x", "C0", cost="", range="", source="")(sk.families.gru)


def test_readme_shows_the_registry(tmp_path):
    page = README.read_text()
    assert replace_block(page, table.markdown(), table.MARKS) == page, "python -m spectral_kernels.api.families.table --readme README.md"
    copy = tmp_path / "README.md"
    copy.write_text(replace_block(page, "", table.MARKS))
    table.main(["--readme", str(copy)])
    assert copy.read_text() == page
