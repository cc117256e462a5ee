#!/usr/bin/env python3
"""How large default images of random programs are, compared with their libraries alone.

    benches/ratio.py [--programs N] [--seed TEXT] [--sysroot DIR] [--imgb BIN] [--worst N]
                     [--jobs N] [--json FILE] [PROGRAM...]

Draws N programs and scripts of /usr/bin and /usr/sbin of the sysroot with a seed, and plans each
twice: with defaults, and with --soft none (program, interpreter, loader and libraries). Prints the
ratio of the sums, the mean and the median of the ratios, for programs and for scripts, what each
rule adds in the mean, and those with the largest ratios. An interpreter's own modules count as
added. Sizes are of content; a hard-linked file counts once, as in the image. The same sysroot and
seed give the same programs.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import statistics
import subprocess


def candidates(sysroot):
    """Programs and scripts of the sysroot, each file once, by real path."""
    found = {}
    for directory in ("usr/bin", "usr/sbin"):
        parent = os.path.join(sysroot, directory)
        for name in sorted(os.listdir(parent)):
            path = os.path.join(parent, name)
            if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.X_OK):
                continue
            with open(path, "rb") as file:
                front = file.read(4)
            if front == b"\x7fELF" or front.startswith(b"#!"):
                found[os.path.join("/", directory, name)] = os.stat(path).st_size
    return list(found)


def plan(imgb, sysroot, program, *options):
    """The files of an image: path, size, causes. None if imgb refuses, or takes too long."""
    # A name is looked for in the sysroot, a path in the current system.
    name = os.path.basename(program)
    command = [imgb, "plan", name, "--sysroot", sysroot, "--json", *options]
    try:
        result = subprocess.run(command, capture_output=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None
    if result.returncode != 0:
        return None
    layers = json.loads(result.stdout)["layers"]
    files = {file["path"]: file for layer in layers for file in layer["files"]}
    seen = set()
    for path, file in files.items():
        inode = identity(sysroot, path, file["size"])
        if inode in seen:
            file["size"] = 0
        elif inode:
            seen.add(inode)
    return files


def identity(sysroot, path, size):
    """What tells hard links from other files: the file of the sysroot that is packed at `path`."""
    try:
        status = os.stat(os.path.join(sysroot, path.lstrip("/")))
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_size == size and size else None


def group(file):
    """What brings a file: the rule that is its first cause, or the kind of that cause."""
    first = next(iter(file["causes"]), {"kind": "other"})
    return first["rule"] if first["kind"] == "rule" else first["kind"]


def groups(full, bare):
    """Bytes that are not in `bare`, by the rule that brings them, directly or for a library."""
    sums = collections.Counter()
    for path, file in full.items():
        size = file["size"]
        if path in bare or not size:
            continue
        name, seen = group(file), set()
        while name in ("needed", "loader", "parent", "link", "interpreter", "compiled"):
            cause = file["causes"][0]
            by = cause.get("by") or cause.get("path")
            if by in seen or by not in full:
                break
            seen.add(by)
            file = full[by]
            name = group(file)
        sums[name] += size
    return sums


def measure(args, program):
    """Bytes of the default image and of the bare one, and the former's by rule."""
    bare = plan(args.imgb, args.sysroot, program, "--soft", "none", "--package-metadata", "none")
    full = plan(args.imgb, args.sysroot, program)
    if bare is None or full is None:
        return program, None
    size = sum(file["size"] for file in full.values())
    least = sum(file["size"] for file in bare.values())
    return program, (size, least, groups(full, bare))


def is_script(sysroot, program):
    """Whether it is a script: its bare image has an interpreter without its modules."""
    with open(os.path.join(sysroot, program.lstrip("/")), "rb") as file:
        return file.read(2) == b"#!"


def summary(title, names, results, ratios):
    """One line about these programs."""
    if not names:
        return
    size = sum(results[name][0] for name in names)
    least = sum(results[name][1] for name in names)
    own = [ratios[name] for name in names]
    print(
        f"{title:9} {len(names):4}: {size / len(names) / 1e6:6.1f} MB in the mean, bare "
        f"{least / len(names) / 1e6:6.1f}; ratio of sums {size / least:.2f}, mean of ratios "
        f"{statistics.mean(own):.2f}, median {statistics.median(own):.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", default="15", help="of the choice (default: 15)")
    parser.add_argument("--sysroot", default="/")
    parser.add_argument("--imgb", default="target/release/imgb")
    parser.add_argument("--worst", type=int, default=10, help="programs to list (default: 10)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("program", nargs="*", help="these instead of random ones")
    args = parser.parse_args()

    chosen = args.program
    if not chosen:
        chosen = candidates(args.sysroot)
        random.Random(args.seed).shuffle(chosen)
        chosen = chosen[: args.programs]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = dict(pool.map(lambda program: measure(args, program), chosen))
    refused = [program for program, result in results.items() if result is None]
    results = {program: result for program, result in results.items() if result}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)

    print(f"seed {args.seed}; refused: {' '.join(refused) or 'none'}")
    ratios = {program: size / least for program, (size, least, _) in results.items()}
    scripts = {program for program in results if is_script(args.sysroot, program)}
    summary("all", results.keys(), results, ratios)
    summary("programs", results.keys() - scripts, results, ratios)
    summary("scripts", scripts, results, ratios)
    sums = collections.Counter()
    for _, _, by_rule in results.values():
        sums.update(by_rule)
    print("added in the mean, MB: " + ", ".join(
        f"{name} {size / len(results) / 1e6:.2f}" for name, size in sums.most_common(12)))
    print(f"\n{'program':32} {'MB':>7} {'bare':>7} {'ratio':>6}  what adds most, MB")
    by_excess = sorted(results, key=lambda program: -ratios[program])
    for program in by_excess[: args.worst]:
        size, bare, by_rule = results[program]
        most = ", ".join(f"{n} {s / 1e6:.1f}" for n, s in by_rule.most_common(4))
        print(f"{program:32} {size / 1e6:7.1f} {bare / 1e6:7.1f} {ratios[program]:6.2f}  {most}")


if __name__ == "__main__":
    main()
