#!/usr/bin/env python3
"""Writes what follows from the server's own tables into docs/: headgate.schema.json, and the reference
part of configuration.md. test_docs.py holds the files to it.

    headgate schema | tests/system/reference.py
"""

import json
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
START = "<!-- from here on written by tests/system/reference.py -->"


def kind_of(field):
    """A field's type in words."""
    if "enum" in field:
        return ", ".join(f"`{v}`" for v in field["enum"])
    kinds = field.get("type")
    kinds = [k for k in (kinds if isinstance(kinds, list) else [kinds]) if k]
    if kinds == ["array"]:
        items = field.get("items", {})
        return "list of texts" if items.get("type") == "string" else "list, see below"
    if kinds == ["object"]:
        return "map, see below" if field.get("properties") else "map of texts"
    if "anyOf" in field or len(kinds) > 1:
        return "decimal text or number"
    words = {"string": "text", "integer": "integer", "boolean": "true or false", "number": "number"}[kinds[0]]
    if "minimum" in field or "maximum" in field:
        words += f", {field.get('minimum', 0)} to {field['maximum']}" if "maximum" in field else ""
    return words


def rows_of(table, prefix=""):
    """(path, kind, needed, help) of every field, nested ones after their parent."""
    for name, field in table["properties"].items():
        if field.get("readOnly"):
            continue
        needed = name in table.get("required", [])
        yield prefix + name, kind_of(field), needed, field.get("description", "")
        inner = field.get("items", field)
        if inner.get("properties"):
            yield from rows_of(inner, prefix + name + ("[]." if field.get("type") == "array" else "."))


def reference(schema):
    lines = []
    for name, field in schema["properties"].items():
        lines += [f"### `{name}`", "", field.get("description", ""), "", "| member | value | |", "| --- | --- | --- |"]
        for path, kind, needed, text in rows_of(field["items"]):
            lines.append(f"| `{path}`{' (needed)' if needed else ''} | {kind} | {text} |")
        lines.append("")
    return "\n".join(lines)


def with_reference(document, schema):
    head, found, _ = document.partition(START)
    assert found, f"docs/configuration.md has no line {START}"
    return f"{head}{START}\n\n{reference(schema)}"


def schema_text(schema):
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main():
    schema = json.load(sys.stdin)
    (DOCS / "headgate.schema.json").write_text(schema_text(schema))
    page = DOCS / "configuration.md"
    page.write_text(with_reference(page.read_text(), schema))


if __name__ == "__main__":
    main()
