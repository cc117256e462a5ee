#!/usr/bin/env python3
"""Pushes a layer of SIZE bytes to docker-registry over connections that are cut.

A proxy on loopback ends each connection after CUT bytes from the client, and counts what it has
passed on. The push is made once in one run, and once by a process that is killed after a third of
the bytes, and the next, which goes on if the registry has kept the upload. For each: bytes from the
client divided by the bytes of the image, peak memory, time. With docker-registry and skopeo. IMGB
is the program.

    SIZE=2000000000 CUT=64000000 benches/registry_cuts.py
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SIZE = int(os.environ.get("SIZE", 2_000_000_000))
CUT = int(os.environ.get("CUT", 64_000_000))
IMGB = os.path.realpath(os.environ.get("IMGB", "target/release/imgb"))

CONFIG = """version: 0.1
storage:
  filesystem:
    rootdirectory: {dir}/registry
http:
  addr: 127.0.0.1:0
"""


class Proxy:
    """Passes connections on to `port`, each for CUT bytes from the client."""

    def __init__(self, port):
        self.target = port
        self.passed = 0
        self.cuts = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            threading.Thread(target=self.down, args=(server, client), daemon=True).start()

    def up(self, client, server):
        left = CUT
        try:
            while left and (some := client.recv(min(left, 1 << 18))):
                server.sendall(some)
                left -= len(some)
                with self.lock:
                    self.passed += len(some)
        except OSError:
            pass
        if left == 0:
            self.cuts += 1
        for end in (client, server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def down(self, server, client):
        try:
            while some := server.recv(1 << 18):
                client.sendall(some)
        except OSError:
            pass


def start_registry(work):
    (work / "config.yml").write_text(CONFIG.format(dir=work))
    with open(work / "log", "wb") as log:
        registry = subprocess.Popen(
            ["docker-registry", "serve", work / "config.yml"], stdout=log, stderr=log
        )
    for _ in range(200):
        found = re.search(r"listening on 127.0.0.1:(\d+)", (work / "log").read_text())
        if found:
            return registry, int(found[1])
        time.sleep(0.05)
    sys.exit("the registry does not start")


def push(work, proxy, repository, kill_at=None):
    """Pushes, and kills the process when `kill_at` bytes have passed; its peak memory in KiB."""
    command = [IMGB, "push", "-q", f"oci:{work}/layout:1", f"127.0.0.1:{proxy.port}/{repository}:1"]
    environment = {**os.environ, "XDG_CACHE_HOME": f"{work}/cache"}
    before = proxy.passed
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while kill_at is not None and proxy.passed - before < kill_at:
        time.sleep(0.005)
    if kill_at is not None:
        child.send_signal(signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if kill_at is None and child.returncode != 0:
        sys.exit(f"the push fails: {child.returncode}")
    return usage.ru_maxrss


def main():
    work = pathlib.Path(tempfile.mkdtemp())
    registry, port = start_registry(work)
    try:
        layer = work / "layer"
        with open(layer, "wb") as file:
            file.truncate(SIZE)
        pack = [IMGB, "pack", f"{layer}:/layer", "--compress", "none", "--no-check", "--no-cache"]
        subprocess.run([*pack, "-q", "-o", f"oci:{work}/layout:1"], check=True,
                       stdout=subprocess.DEVNULL)
        layer.unlink()
        print("| | sent | cuts | peak MiB | s |\n|---|---|---|---|---|", flush=True)
        for name, kill_at in [("one run", None), ("killed and started again", SIZE // 3)]:
            proxy = Proxy(port)
            start = time.monotonic()
            repository = f"cut{proxy.port}"
            peaks = [push(work, proxy, repository, kill_at)] if kill_at else []
            peaks.append(push(work, proxy, repository))
            took = time.monotonic() - start
            digest = ["skopeo", "inspect", "--raw", "--tls-verify=false"]
            subprocess.run([*digest, f"docker://127.0.0.1:{port}/{repository}:1"], check=True,
                           stdout=subprocess.DEVNULL)
            sent, peak = proxy.passed / SIZE, max(peaks) / 1024
            print(f"| {name} | {sent:.3f} × | {proxy.cuts} | {peak:.0f} | {took:.0f} |", flush=True)
            shutil.rmtree(work / "registry")
    finally:
        registry.terminate()
        registry.wait()
        shutil.rmtree(work)


main()
