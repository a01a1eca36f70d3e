#!/usr/bin/env python3
"""Says what is inside the three programs: a CycloneDX 1.5 document, from Cargo's own resolution of Cargo.lock.

    sbom.py PROGRAMS > FILE

PROGRAMS is the directory with the programs as they are shipped. Every crate that is linked into one of them is listed, with
its checksum, license and what it uses, and so is the C code that crates bring along. What only helps to build is not.
The same tree, programs and SOURCE_DATE_EPOCH make the same document, byte for byte. Needs cargo; no network once fetched.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

TREE = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["evenkeel", "evenkeel-agent", "evenkeel-collector"]
# The package of a program, where it has another name.
PACKAGES = {"evenkeel": "evenkeel-cli"}
# C libraries that crates carry: the crate, the header that says the version, and how.
CARRIED = {
    "libsqlite3-sys": ("sqlite", "sqlite3/sqlite3.h", r'#define SQLITE_VERSION\s+"([\d.]+)"', "blessing"),
    "zstd-sys": (
        "zstd",
        "zstd/lib/zstd.h",
        r"#define ZSTD_VERSION_MAJOR\s+(\d+)\s+#define ZSTD_VERSION_MINOR\s+(\d+)\s+#define ZSTD_VERSION_RELEASE\s+(\d+)",
        "BSD-3-Clause OR GPL-2.0-only",
    ),
}


def run(*words):
    return subprocess.run(words, cwd=TREE, check=True, capture_output=True, text=True).stdout


def licensed(expression):
    # Cargo once took a slash for "or".
    return {"licenses": [{"expression": expression.replace("/", " OR ")}]} if expression else {}


def library(name, version, kind="cargo", **more):
    reference = f"pkg:{kind}/{name}@{version}"
    return {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference, **more}


def crates(package, target):
    """The crates that are linked, and the edges between them, as (name, version) pairs."""
    tree = run("cargo", "tree", "--locked", "--package", package, "--target", target, "--edges", "normal,no-proc-macro",
               "--prefix", "depth", "--format", "|{p}|{l}")  # fmt: skip
    found, edges, above = {}, set(), []
    for line in tree.splitlines():
        depth, crate, license = line.split("|")
        name, version = crate.split(" ")[:2]
        key = (name, version.removeprefix("v"))
        found[key] = license.removesuffix(" (*)")
        del above[int(depth) :]
        if above:
            edges.add((above[-1], key))
        above.append(key)
    return found, edges


def carried(name, version):
    """The C library inside this crate, if it carries one."""
    if name not in CARRIED:
        return None
    called, header, pattern, license = CARRIED[name]
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    [manifest] = [p["manifest_path"] for p in metadata["packages"] if (p["name"], p["version"]) == (name, version)]
    text = (pathlib.Path(manifest).parent / header).read_text(errors="replace")
    return library(called, ".".join(re.search(pattern, text).groups()), "generic", **licensed(license))


def main(programs):
    target = re.search(r"^host: (.*)$", run("rustc", "--version", "--verbose"), re.M)[1]
    release = re.search(r"^release: (.*)$", run("rustc", "--version", "--verbose"), re.M)[1]
    lock = tomllib.loads((TREE / "Cargo.lock").read_text())["package"]
    checksums = {(p["name"], p["version"]): p["checksum"] for p in lock if "checksum" in p}
    version = tomllib.loads((TREE / "Cargo.toml").read_text())["workspace"]["package"]["version"]

    standard = library("rust-std", release, "generic", **licensed("MIT OR Apache-2.0"))
    components, uses = {standard["bom-ref"]: standard}, {}
    for program in PROGRAMS:
        found, edges = crates(PACKAGES.get(program, program), target)
        digest = hashlib.sha256((programs / program).read_bytes()).hexdigest()
        reference = f"program:{program}"
        components[reference] = {
            "type": "application", "bom-ref": reference, "name": program, "version": version,
            "hashes": [{"alg": "SHA-256", "content": digest}], **licensed("Apache-2.0"),
        }  # fmt: skip
        own = (PACKAGES.get(program, program), version)
        uses.setdefault(reference, set()).update({f"pkg:cargo/{own[0]}@{version}", standard["bom-ref"]})
        for (name, of), license in found.items():
            crate = library(name, of, **licensed(license))
            if (name, of) in checksums:
                crate["hashes"] = [{"alg": "SHA-256", "content": checksums[name, of]}]
            components[crate["bom-ref"]] = crate
            inside = carried(name, of) if crate["bom-ref"] not in uses else None
            uses.setdefault(crate["bom-ref"], set())
            if inside:
                components[inside["bom-ref"]] = inside
                uses[crate["bom-ref"]].add(inside["bom-ref"])
        for (a, b) in edges:
            uses[f"pkg:cargo/{a[0]}@{a[1]}"].add(f"pkg:cargo/{b[0]}@{b[1]}")

    whole = {"type": "application", "bom-ref": "evenkeel", "name": "evenkeel", "version": version, **licensed("Apache-2.0")}
    uses["evenkeel"] = {f"program:{program}" for program in PROGRAMS}
    moment = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": whole},
        "components": [components[reference] for reference in sorted(components)],
        "dependencies": [{"ref": of, "dependsOn": sorted(uses.get(of, ()))} for of in sorted({"evenkeel", *components})],
    }
    named = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    json.dump({"serialNumber": f"urn:uuid:{named}", **document}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
