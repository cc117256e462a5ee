"""Prints a JSON object for each image of docker archives: its tag, the part of its configuration
that a Dockerfile decides, and its files after all layers. Shares no code with imgb."""
import hashlib, json, sys, tarfile

FIELDS = ("User Env Entrypoint Cmd WorkingDir Labels ExposedPorts Volumes StopSignal Healthcheck "
          "Shell OnBuild").split()


def merge(layers):
    files = {}
    for layer in layers:
        upper, hidden = {}, []
        with tarfile.open(fileobj=layer, mode="r:*") as tar:
            for member in tar:
                name = "/" + member.name.strip("/").removeprefix("./")
                head, _, last = name.rpartition("/")
                if name in ("/", "/."):
                    continue
                if last == ".wh..wh..opq":
                    hidden += [old for old in files if old.startswith(head + "/")]
                elif last.startswith(".wh."):
                    gone = head + "/" + last[4:]
                    hidden += [old for old in files if old == gone or old.startswith(gone + "/")]
                else:
                    upper[name] = entry(tar, member, upper)
        for old in hidden:
            files.pop(old, None)
        for name, made in upper.items():
            if made[0] != "dir":
                for old in [old for old in files if old.startswith(name + "/")]:
                    del files[old]
            files[name] = made
    return files


def entry(tar, member, upper):
    meta = ["%04o" % (member.mode & 0o7777), member.uid, member.gid]
    if member.islnk():
        return upper["/" + member.linkname.strip("/").removeprefix("./")]
    if member.issym():
        return ["link", "-", *meta[1:], member.linkname]
    if member.isdir():
        return ["dir", *meta, ""]
    if member.isfile():
        return ["file", *meta, hashlib.sha256(tar.extractfile(member).read()).hexdigest()[:12]]
    return ["special", *meta, ""]


for path in sys.argv[1:]:
    with tarfile.open(path) as archive:
        find = lambda name: archive.extractfile(archive.getmember(name))
        for image in json.load(find("manifest.json")):
            document = json.load(find(image["Config"]))
            config = {k: v for k, v in (document.get("config") or {}).items() if k in FIELDS and v}
            if config.get("WorkingDir") == "/":
                del config["WorkingDir"]
            config["Env"] = sorted(config.get("Env", []))
            if document.get("author"):
                config["Author"] = document["author"]
            files = merge(find(layer) for layer in image["Layers"])
            for tag in image["RepoTags"] or ["-"]:
                print(json.dumps({"tag": tag.rpartition("/")[2], "config": config, "files": files}))
