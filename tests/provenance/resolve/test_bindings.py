"""Values of soft bindings in every form in which the API may bring them."""

from __future__ import annotations

import base64

import pytest

from provenance.errors import UsageError
from provenance.resolve.bindings import PDQ, pdq_of, similarity, value_of

CODE = bytes(range(223, 255))  # base64 with both special characters


def test_every_form_of_a_value() -> None:
    raw = base64.b64encode(CODE).decode()
    forms = (
        raw,
        raw.rstrip("="),
        raw.replace("+", " "),
        base64.urlsafe_b64encode(CODE).decode(),
        base64.b64encode(CODE.hex().encode()).decode(),
        CODE.hex(),
        CODE.hex().upper(),
        value_of(CODE),
    )
    assert "+" in raw or "/" in raw
    assert {pdq_of(PDQ, form) for form in forms} == {CODE}


@pytest.mark.parametrize("value", ["", "=", "AAAA", "ü" * 64, "g" * 64, "a" * 63, "A" * 5000, "\x00" * 44])
def test_what_is_no_value(value: str) -> None:
    with pytest.raises(UsageError):
        pdq_of(PDQ, value)


def test_another_algorithm() -> None:
    with pytest.raises(UsageError, match="not supported"):
        pdq_of("com.adobe.icn.dense", value_of(CODE))


def test_scores() -> None:
    assert similarity(0) == similarity(None, exact=True) == 100
    assert similarity(None) is None
    assert similarity(128) == similarity(256) == 0
    assert 100 > similarity(5) > similarity(31) > 50  # type: ignore[operator]
