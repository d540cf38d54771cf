#!/usr/bin/env python3
"""The dependency rule of ARCHITECTURE.md, proved of the compiled objects and of the sources.

    protocol <- policy <- session <- io
                       <- codec   <-

What a layer's archive does not define itself must be defined by a layer that it may use, or be one of the few
functions of the C library that neither block, allocate nor know the time. Everything else is a breach. The codec may
also allocate, and call the four libraries that compress.

    check_layers.py BUILD_DIR        check the archives in BUILD_DIR and the sources beside this script
    check_layers.py --self-test      prove that a breach of each kind is found (needs a C compiler)
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Layer(typing.NamedTuple):
    name: str
    archive: str
    sources: list       # patterns
    headers: list       # of include/penstock/ that it owns
    uses: set           # layers whose symbols and headers it may use, besides its own
    symbols: str = ""   # a regular expression: functions of libraries that only this layer may call
    includes: set = frozenset()  # and their headers


# Each may use only such as stand before it.
LAYERS = [
    Layer("protocol", "libps_protocol.a", ["protocol/*.[ch]"],
          ["base", "bytes", "schema", "api", "walk", "batch", "produce", "reply", "ask", "answer", "rewrite", "sasl",
           "close", "crc", "parcel"], set()),
    Layer("policy", "libps_policy.a", ["policy/*.[ch]"],
          ["action", "breaker", "config", "controller", "delay", "fair", "family", "flag", "governor", "heap", "ladder",
           "law", "names", "risk", "scale", "share", "tell", "tenant", "times", "valve"], {"protocol"}),
    Layer("codec", "libps_codec.a", ["codec/*.[ch]"], ["codec"], {"protocol", "policy"},
          r"malloc|calloc|realloc|free|(in|de)flate(Init2_|Reset|End)?|(LZ4F|ZSTD|snappy)_\w+",
          {"stdlib.h", "zlib.h", "lz4frame.h", "zstd.h", "snappy-c.h"}),
    Layer("session", "libps_session.a", ["proxy/session/*.[ch]"], ["session"], {"protocol", "policy"}),
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
    breaches, defined_by = [], {}
    for layer in layers:
        found = sorted(pathlib.Path(build).rglob(layer.archive))
        if len(found) != 1:
            breaches.append(f"{layer.name}: {layer.archive} is there {len(found)} times below {build}")
            continue
        defined, used = symbols_of(found[0])
        if not defined:
            breaches.append(f"{layer.name}: {layer.archive} defines nothing")
        defined_by[layer.name] = defined
        there = defined.union(*(defined_by.get(name, set()) for name in layer.uses))
        own = re.compile(layer.symbols)
        for symbol, member in sorted(used.items()):
            if symbol not in there and not ALLOWED_SYMBOL.fullmatch(symbol) and not own.fullmatch(symbol):
                breaches.append(f"{layer.name}: {member} calls {symbol}, which {layer.name} may not use")
    return breaches


def check_include(root, where, quote, header, layer, layers):
    if quote == "<":
        good = header in SYSTEM_HEADERS or header in layer.includes
        return [] if good else [f"{where}: {layer.name} includes <{header}>"]
    if header.startswith("penstock/"):
        owner = next((other.name for other in layers if header[len("penstock/"):-2] in other.headers), None)
        if owner is None:
            return [f"{where}: {header} belongs to no pure layer (see LAYERS in check_layers.py)"]
        good = owner == layer.name or owner in layer.uses
        return [] if good else [f"{where}: {layer.name} includes {header}, which belongs to {owner}"]
    # A private header must stand among the layer's own sources.
    own = {path.name for pattern in layer.sources for path in root.glob(pattern)}
    return [] if header in own else [f"{where}: {layer.name} includes \"{header}\", which is not its own"]


def sources_of(root, layer):
    for pattern in layer.sources:
        yield from sorted(root.glob(pattern))
    for header in layer.headers:
        path = root / "include/penstock" / f"{header}.h"
        if path.exists():
            yield path


def check_includes(root, layers=LAYERS):
    breaches = []
    for layer in layers:
        for file in sources_of(root, layer):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match:
                    breaches += check_include(root, f"{file}:{number}", match[1], match[2], layer, layers)
    return breaches


def self_test():
    """Builds a house of one-file layers and breaks each rule once."""
    good = {"protocol/p.c": "int ps_p(void);\nint ps_p(void) { return 1; }\n",
            "policy/q.c": "int ps_p(void); int ps_q(void);\nint ps_q(void) { return ps_p(); }\n",
            "codec/c.c": "#include <stdlib.h>\nint ps_q(void); void *LZ4F_x(void); int ps_c(void);\n"
                         "int ps_c(void) { free(malloc(9)); return ps_q() + (LZ4F_x() != 0); }\n",
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
        ({"codec/c.c": "int puts(const char *); int ps_c(void);\nint ps_c(void) { return puts(\"\"); }\n"}, "calls puts"),
        ({"codec/c.c": "#include <pthread.h>\nint ps_c(void);\nint ps_c(void) { return 1; }\n"},
         "includes <pthread.h>"),
        ({"proxy/session/session.c": "int ps_c(void); int ps_s(void);\nint ps_s(void) { return ps_c(); }\n"},
         "calls ps_c"),
        ({"proxy/session/session.c": '#include "penstock/codec.h"\nint ps_s(void);\nint ps_s(void) { return 1; }\n'},
         "belongs to codec"),
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
    for header in ("valve", "codec"):
        (root / f"include/penstock/{header}.h").write_text("")
    (root / "proxy/net").mkdir(parents=True)
    (root / "proxy/net/loop.h").write_text("")
    for layer, (name, text) in zip(LAYERS, files.items()):
        source = root / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        subprocess.run(["cc", "-c", "-I", root / "include", "-I", root / "proxy/net", source, "-o",
                        source.with_suffix(".o")], check=True)
        subprocess.run(["ar", "rcs", root / layer.archive, source.with_suffix(".o")], check=True)
    return check_objects(root) + check_includes(root)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    breaches = check_objects(sys.argv[1]) + check_includes(ROOT)
    print("\n".join(breaches) or "protocol, policy and the session core are pure, the codec only allocates and compresses, all in order")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
