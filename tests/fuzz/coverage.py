"""Line coverage of the pure layers, of what is run under build/coverage (clang's source-based coverage).

    coverage.py [--missing] [--corpus FOLDER]... fuzz
                                              the fuzz drivers, over tests/fuzz/corpus and each FOLDER
    coverage.py unit                          the unit tests and session schedules: no fuzz driver

The folders hold one folder of inputs for each driver. Prints a row for each file of protocol/, codec/
and proxy/session/, and with --missing the lines that are not reached.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/coverage"
COMMITTED = ROOT / "tests/fuzz/corpus"
LAYERS = ["protocol", "codec", "proxy/session"]
SCHEDULES = "3000"


def fuzz_commands(corpora):
    for driver in sorted((BUILD / "tests/fuzz").glob("fuzz_*")):
        if driver.is_file() and os.access(driver, os.X_OK):
            folders = [corpus / driver.name.removeprefix("fuzz_") for corpus in [COMMITTED, *corpora]]
            yield [driver, *[folder for folder in folders if folder.is_dir()]]


def unit_commands():
    for test in sorted((BUILD / "tests").glob("test_*")):
        if test.is_file() and os.access(test, os.X_OK):
            yield [test]
    yield [BUILD / "tests/session/session_schedules", SCHEDULES, "1"]


def run(commands, folder):
    """Runs each and merges what they leave. Returns the profile and the executables."""
    objects = []
    for number, command in enumerate(commands):
        environment = {**os.environ, "LLVM_PROFILE_FILE": str(folder / f"{number}.profraw")}
        done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.stdout.buffer.write(done.stdout[-4000:])
            sys.exit(f"{command[0].name} failed: no coverage of what breaks")
        objects.append(command[0])
    profile = folder / "all.profdata"
    raws = [str(raw) for raw in folder.glob("*.profraw")]
    subprocess.run(["llvm-profdata-14", "merge", "-sparse", "-o", profile, *raws], check=True)
    return profile, objects


def lines_of(profile, objects):
    """{file: (lines, lines reached)}"""
    command = ["llvm-cov-14", "export", "-summary-only", f"-instr-profile={profile}", objects[0]]
    for more in objects[1:]:
        command += ["-object", more]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    lines = {}
    for file in found["data"][0]["files"]:
        name = pathlib.Path(file["filename"])
        if name.is_relative_to(ROOT):
            lines[name.relative_to(ROOT).as_posix()] = (file["summary"]["lines"]["count"],
                                                        file["summary"]["lines"]["covered"])
    return lines


def missing_of(profile, objects):
    """Prints 'file:line: text' of what was never run."""
    command = ["llvm-cov-14", "show", f"-instr-profile={profile}", objects[0]]
    for more in objects[1:]:
        command += ["-object", more]
    sources = [str(source) for layer in LAYERS for source in sorted((ROOT / layer).glob("*.c"))]
    shown = subprocess.run([*command, *sources], check=True, stdout=subprocess.PIPE, text=True).stdout
    name = ""
    for line in shown.splitlines():
        if line.endswith(".c:"):
            name = pathlib.Path(line[:-1]).relative_to(ROOT)
        match = re.match(r" *(\d+)\| *0\|(.*)", line)
        if match:
            print(f"{name}:{match[1]}: {match[2].strip()}")


def row(name, count, covered):
    print(f"{name:<44} {covered:>6} of {count:>5} lines {100 * covered / max(count, 1):>6.1f} %")


def report(lines):
    for layer in LAYERS:
        of_layer = {name: both for name, both in sorted(lines.items()) if name.startswith(f"{layer}/")}
        for name, (count, covered) in of_layer.items():
            row(f"  {name}", count, covered)
        row(f"{layer}/", *[sum(column) for column in zip(*of_layer.values())])


def main():
    parser = argparse.ArgumentParser(prog="coverage.py", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--missing", action="store_true", help="print the lines that are not reached")
    parser.add_argument("what", choices=["fuzz", "unit"])
    options = parser.parse_args()
    commands = list(unit_commands() if options.what == "unit" else fuzz_commands(options.corpus))
    with tempfile.TemporaryDirectory(prefix="penstock-coverage-") as folder:
        ran = run(commands, pathlib.Path(folder))
        report(lines_of(*ran))
        if options.missing:
            missing_of(*ran)


if __name__ == "__main__":
    main()
