#!/usr/bin/env python3
"""The budgets of CONTRIBUTING.md: lines in a file and in a function, columns in a line, no tabs, an opening comment.

    check_style.py                   check every C file of the house
    check_style.py --self-test       prove that each excess is found
"""

import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["include", "protocol", "codec", "policy", "proxy", "sim", "bench", "tests"]
GENERATED = {"protocol/schema_table.c"}
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 120
NAME = re.compile(r"(\w+)\(")


def check_functions(name, lines):
    """A function's braces stand alone at column 0; nothing else's do."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            length = number - start + 1
            if length > FUNCTION_LINES_MAX:
                head = NAME.search(" ".join(lines[max(0, start - 4):start - 1]))
                yield f"{name}:{start}: {head[1] if head else 'function'} has {length} lines"
            start = None


def check_file(name, text):
    lines = text.splitlines()
    if not text.startswith("/*"):
        yield f"{name}:1: does not open with its purpose"
    if not text.endswith("\n"):
        yield f"{name}:{len(lines)}: no newline at the end"
    if len(lines) > FILE_LINES_MAX:
        yield f"{name}: {len(lines)} lines"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield f"{name}:{number}: {len(line)} columns"
        if "\t" in line:
            yield f"{name}:{number}: a tab"
        if line != line.rstrip():
            yield f"{name}:{number}: white space at the end"
    yield from check_functions(name, lines)


def check_tree(root):
    for folder in FOLDERS:
        for file in sorted(root.glob(f"{folder}/**/*.[ch]")):
            name = file.relative_to(root).as_posix()
            if name not in GENERATED:
                yield from check_file(name, file.read_text())


def self_test():
    function = "int f(void)\n{\n" + "    f();\n" * FUNCTION_LINES_MAX + "}\n"
    cases = [("/* x */\nint f(void)\n{\n    return 1;\n}\n", None), ("/* x */\n" + function, "f has 72 lines"),
             ("/* x */\n" + "\n" * FILE_LINES_MAX, "801 lines"), ("/* " + "x" * 118 + "*/\n", "123 columns"),
             ("/* x */\n\tint x;\n", "a tab"), ("/* x */\nint x; \n", "white space"), ("int x;\n", "purpose"),
             ("/* x */", "no newline")]
    for text, expected in cases:
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            (root / "proxy").mkdir()
            (root / "proxy/x.c").write_text(text)
            found = list(check_tree(root))
        if (expected is None and found) or (expected and not any(expected in one for one in found)):
            sys.exit(f"wanted {expected}, got {found}")
    print(f"{len(cases) - 1} excesses found, the clean example passed")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    excesses = list(check_tree(ROOT))
    print("\n".join(excesses) or "every file keeps its budget")
    sys.exit(1 if excesses else 0)


if __name__ == "__main__":
    main()
