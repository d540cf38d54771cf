#!/usr/bin/env python3
"""The dependency rule of ARCHITECTURE.md, proved of the compiled objects and of the sources.

    protocol <- policy <- session <- io

What a pure layer's archive does not define itself must be defined by a layer below it, or be one of the few
functions of the C library that neither block, allocate nor know the time. Everything else is a breach.

    check_layers.py BUILD_DIR        check the archives in BUILD_DIR and the sources beside this script
    check_layers.py --self-test      prove that a breach of each kind is found (needs a C compiler)
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Archive, sources and the headers of include/penstock that a layer owns; each may use itself and those before it.
LAYERS = [
    ("protocol", "libps_protocol.a", ["protocol/*.[ch]"],
     ["base", "bytes", "schema", "api", "walk", "batch", "produce", "reply", "ask", "answer", "rewrite", "sasl", "close",
      "crc", "parcel"]),
    ("policy", "libps_policy.a", ["policy/*.[ch]"],
     ["action", "breaker", "config", "controller", "delay", "fair", "family", "governor", "heap", "ladder", "law", "names",
      "risk", "scale", "share", "tell", "tenant", "times", "valve"]),
    ("session", "libps_session.a", ["proxy/session/*.[ch]"],
     ["session"]),
]

ALLOWED_SYMBOL = re.compile(
    r"mem(cpy|move|set|cmp|chr|mem|rchr)|bcmp|str(n?len|n?cmp|r?chr|str|spn|cspn)"
    r"|(exp|exp2|expm1|log|log2|log10|log1p|pow|sqrt|cbrt|floor|ceil|trunc|l?l?r(ound|int)|nearbyint|fabs|fmin|fmax"
    r"|fmod|hypot|frexp|ldexp|copysign)f?|__(isnan|isinf|finite|fpclassify|signbit)f?"
    # What compilers and sanitizers add by themselves.
    r"|__cpu_(model|indicator_init)" # which instructions the processor has
    r"|__(asan|ubsan|tsan|sanitizer|sancov|gcov|llvm|gcc)_.*|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
    r"|__(mem|str)\w+_chk|__start___sancov\w*|__stop___sancov\w*")

SYSTEM_HEADERS = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h", "float.h", "math.h", "assert.h",
                  "stdalign.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def symbols_of(archive):
    """(defined, used) of an archive; used maps a symbol to an object that wants it."""
    out = subprocess.run(["nm", "-P", str(archive)], check=True, capture_output=True, text=True).stdout
    defined, used, member = set(), {}, "?"
    for line in out.splitlines():
        if line.endswith("]:"):
            member = line[line.index("[") + 1:-2]
            continue
        fields = line.split()
        if len(fields) < 2:
            continue
        if fields[1] in "Uwv":
            used.setdefault(fields[0], member)
        elif fields[1].isupper():
            defined.add(fields[0])
    return defined, used


def check_objects(build, layers=LAYERS):
    breaches, below = [], set()
    for name, archive, _, _ in layers:
        found = sorted(pathlib.Path(build).rglob(archive))
        if len(found) != 1:
            breaches.append(f"{name}: {archive} is there {len(found)} times below {build}")
            continue
        defined, used = symbols_of(found[0])
        if not defined:
            breaches.append(f"{name}: {archive} defines nothing")
        below |= defined
        for symbol, member in sorted(used.items()):
            if symbol not in below and not ALLOWED_SYMBOL.fullmatch(symbol):
                breaches.append(f"{name}: {member} calls {symbol}, which no layer up to {name} defines")
    return breaches


def owner_of(header, layers):
    for rank, (_, _, _, headers) in enumerate(layers):
        if header in headers:
            return rank
    return None


def check_include(root, file, line_number, quote, header, rank, layers):
    where = f"{file}:{line_number}"
    name = layers[rank][0]
    if quote == "<":
        return [] if header in SYSTEM_HEADERS else [f"{where}: {name} includes <{header}>"]
    if header.startswith("penstock/"):
        owner = owner_of(header[len("penstock/"):-2], layers)
        if owner is None:
            return [f"{where}: {header} belongs to no pure layer (see LAYERS in check_layers.py)"]
        return [] if owner <= rank else [f"{where}: {name} includes {header}, which belongs to {layers[owner][0]}"]
    # A private header must stand among the layer's own sources.
    own = {path.name for pattern in layers[rank][2] for path in root.glob(pattern)}
    return [] if header in own else [f"{where}: {name} includes \"{header}\", which is not its own"]


def sources_of(root, rank, layers):
    _, _, patterns, headers = layers[rank]
    for pattern in patterns:
        yield from sorted(root.glob(pattern))
    for header in headers:
        path = root / "include/penstock" / f"{header}.h"
        if path.exists():
            yield path


def check_includes(root, layers=LAYERS):
    breaches = []
    for rank in range(len(layers)):
        for file in sources_of(root, rank, layers):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match:
                    breaches += check_include(root, file, number, match[1], match[2], rank, layers)
    return breaches


def self_test():
    """Builds a house of three one-file layers and breaks each rule once."""
    good = {"protocol/p.c": "int ps_p(void);\nint ps_p(void) { return 1; }\n",
            "policy/q.c": "int ps_p(void); int ps_q(void);\nint ps_q(void) { return ps_p(); }\n",
            "proxy/session/session.c": "int ps_q(void); int ps_s(void);\nint ps_s(void) { return ps_q(); }\n"}
    breaks = [
        ({}, None),
        ({"protocol/p.c": "int ps_q(void); int ps_p(void);\nint ps_p(void) { return ps_q(); }\n"}, "calls ps_q"),
        ({"policy/q.c": "void *malloc(unsigned long); void *ps_q(void);\nvoid *ps_q(void) { return malloc(9); }\n"},
         "calls malloc"),
        ({"proxy/session/session.c": "#include <time.h>\ntime_t ps_s(void);\ntime_t ps_s(void) { return time(0); }\n"},
         "includes <time.h>"),
        ({"proxy/session/session.c": "long clock(void); long ps_s(void);\nlong ps_s(void) { return clock(); }\n"},
         "calls clock"),
        ({"protocol/p.c": '#include "penstock/valve.h"\nint ps_p(void);\nint ps_p(void) { return 1; }\n'},
         "belongs to policy"),
        ({"policy/q.c": '#include "loop.h"\nint ps_q(void);\nint ps_q(void) { return 1; }\n'}, "not its own"),
    ]
    for change, expected in breaks:
        with tempfile.TemporaryDirectory() as directory:
            found = breaches_of_example(pathlib.Path(directory), {**good, **change})
        if expected is None and found:
            sys.exit(f"a clean example was refused: {found}")
        if expected is not None and not any(expected in breach for breach in found):
            sys.exit(f"a breach was not found: wanted '{expected}', got {found}")
    print(f"{len(breaks) - 1} breaches found, the clean example passed")


def breaches_of_example(root, files):
    (root / "include/penstock").mkdir(parents=True)
    (root / "include/penstock/valve.h").write_text("")
    (root / "proxy/net").mkdir(parents=True)
    (root / "proxy/net/loop.h").write_text("")
    for (_, archive, _, _), (name, text) in zip(LAYERS, files.items()):
        source = root / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        subprocess.run(["cc", "-c", "-I", root / "include", "-I", root / "proxy/net", source, "-o",
                        source.with_suffix(".o")], check=True)
        subprocess.run(["ar", "rcs", root / archive, source.with_suffix(".o")], check=True)
    return check_objects(root) + check_includes(root)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    breaches = check_objects(sys.argv[1]) + check_includes(ROOT)
    print("\n".join(breaches) or "protocol, policy and the session core are pure and in order")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
