# Makes the context of the conformance cases in the working directory. A umask of 022 keeps all
# modes.
set -eu
umask 022
mkdir -p dir/sub/deep dir2/sub empty private sticky etc ign/.git ign/in/deep globs/x1 globs/x2
mkdir -p links tar .hid/sub uni 'sp dir'
printf a >a; printf b >b.txt; printf c >c.TXT; printf '#!/bin/sh\n' >x.sh; printf ro >ro; : >nothing
printf 1 >dir/one; printf 2 >dir/two.txt; printf 3 >dir/sub/three; printf 4 >dir/sub/deep/four
printf h >dir/.hidden
printf 5 >dir2/five; printf 6 >dir2/sub/six; printf 7 >dir2/one
printf p >private/p; printf f >sticky/f; printf s >suid; printf g >sgid
printf '%s\n' root:x:0:0::/:/bin/sh bob:x:7:8::/:/bin/sh 99:x:5:6::/:/bin/sh lone:x:31:32::/: \
  >etc/passwd
printf 'root:x:0:\nbob:x:9:\nstaff:x:50:\n' >etc/group
printf x >ign/.git/x; printf k >ign/keep.md; printf b >ign/b.md; printf d >ign/in/deep/d.md
printf e >ign/in/e.txt; printf l >ign/x.log
printf 1 >globs/x1/f; printf 2 >globs/x2/g; printf n >globs/n1.txt; printf m >globs/n2.txt
printf o >'globs/n-.txt'; printf q >'globs/[a]'; printf r >'globs/a'; printf t >'globs/st*r'
printf w >'we[ird'; printf s >'sp ace'; printf t >'sp dir/t t'; printf d >'dol$lar'
printf q >'qu"ote'; printf e >'eq=ual'; printf h >'#hash'; printf u >uni/é; printf v >'uni/日本'
printf .1 >.hid/one; printf .2 >.hid/sub/two; printf .e >.dot
ln -s one dir/rel; ln -s /etc/passwd dir/abs; ln -s nowhere dir/dang; ln -s dir ldir; ln -s a la
ln -s sub/deep dir/lsub
ln dir/one dir/onehard
ln -s ../dir links/up; ln -s ../a links/afile; ln -s /dir links/rootdir; ln -s /a links/roota
ln -s la links/none; ln -s ../links/afile links/chain
chmod 755 x.sh; chmod 400 ro; chmod 700 private; chmod 600 private/p; chmod 1777 sticky
chmod 4755 suid; chmod 2755 sgid
own() { tar --sort=name --owner=11 --group=12 --mtime=@1 "$@"; }
for z in z j J; do own -c${z}f tar/t.tar.$z -C dir .; own -c${z}f tar/p.tar.$z a dir2; done
own -cf tar/own.tar --mode=750 dir2
own -cf tar/plain.tar a dir2/five; cp tar/plain.tar tar/noext
own -cf tar/abs.tar -P --transform='s,^,/,' dir2/five
own -cf tar/dot.tar ./dir2
own -cf tar/special.tar --mode=4755 suid sticky
own -cf tar/nodirs.tar --transform='s,^,n/m/,' a b.txt
gzip -nc a >tar/a.gz; head -c 300 tar/plain.tar >tar/short.tar; tar -cf tar/empty.tar -T /dev/null
mkdir h; printf x >h/x; ln h/x h/y; ln -s x h/z; own -cf tar/hard.tar h; rm -r h
mkdir s; ln -s /dir s/lnk; own -cf tar/link.tar s; rm -r s
mkdir -p l/lnk; printf x >l/lnk/inlnk; own -cf tar/under.tar -C l lnk; rm -r l
# Docker's classic builder drops these bits, BuildKit and imgb keep them: only the tarball has them.
chmod 755 suid sgid
zstd -q tar/plain.tar -o tar/plain.tar.zst
# Rare kinds of tarballs, and files that only look like tarballs.
mkdir odd
own --format=v7 -cf odd/v7.tar dir2
long=odd/l/$(printf 'n%.0s' $(seq 90))/$(printf 'm%.0s' $(seq 90)); mkdir -p "$long"
printf l >"$long/f"; ln -s "$long/f" odd/l/s
own --format=gnu -cf odd/gnu.tar -C odd l; own --format=posix -cf odd/pax.tar -C odd l; rm -r odd/l
printf 'not a tarball' >odd/text.tar; bzip2 -c a >odd/a.bz2; xz -c a >odd/a.xz
printf '\037\213' >odd/magic; printf BZh >odd/bz
cat tar/t.tar.z >odd/junk.tgz; printf junk >>odd/junk.tgz; head -c 80 tar/t.tar.z >odd/cut.tgz
gzip -nc tar/t.tar.z >odd/twice.gz; head -c 1024 /dev/zero >odd/zeros
own -czf odd/blocks.tgz -b 64 a
python3 - <<'EOF'
import tarfile, zipfile
def make(name, *members):
    with tarfile.open("odd/" + name, "w") as tar:
        for path, kind, link, mode, owner in members:
            info = tarfile.TarInfo(path)
            info.type, info.linkname, info.mode, info.uid, info.gid = kind, link, mode, owner, owner
            info.mtime, info.uname, info.gname = 1, "bob", "staff"
            tar.addfile(info)
FILE, DIR, LINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
HARD, FIFO = tarfile.LNKTYPE, tarfile.FIFOTYPE
make("last.tar", ("d/f", FILE, "", 0o600, 3), ("d", DIR, "", 0o700, 4))
make("dup.tar", ("f", FILE, "", 0o600, 3), ("f", FILE, "", 0o644, 4))
make("turn.tar", ("f", FILE, "", 0o600, 3), ("f", LINK, "/x", 0o777, 4),
     ("g", LINK, "f", 0o777, 3), ("g", FILE, "", 0o640, 5))
make("fill.tar", ("d", DIR, "", 0o750, 3), ("d", DIR, "", 0o701, 4), ("d/f", FILE, "", 0o640, 5))
make("through.tar", ("real", DIR, "", 0o755, 3), ("lnk", LINK, "real", 0o777, 3),
     ("lnk/f", FILE, "", 0o644, 5))
make("big.tar", ("f", FILE, "", 0o644, 300000), ("g", FILE, "", 0o7777, 2097151))
make("fifo.tar", ("p", FIFO, "", 0o644, 3), ("f", FILE, "", 0o644, 3))
make("up.tar", ("../f", FILE, "", 0o644, 3))
make("hardlink.tar", ("s", LINK, "/etc/x", 0o777, 3), ("h", HARD, "s", 0o777, 3))
make("early.tar", ("h", HARD, "f", 0o644, 3), ("f", FILE, "", 0o644, 3))
make("dots.tar", ("./a/./b", FILE, "", 0o644, 3), ("a//c", FILE, "", 0o644, 3),
     ("./", DIR, "", 0o711, 5))
make("topdir.tar", (".", DIR, "", 0o700, 5), ("x", FILE, "", 0o644, 5))
with zipfile.ZipFile("odd/z.zip", "w") as zip:
    zip.writestr(zipfile.ZipInfo("f"), "z")
EOF
# A base with merged directories, links, an owner, and a file where cases need a directory.
mkdir -p base/usr/lib base/usr/bin base/etc base/opt/real base/home/u base/var/file.d
printf L >base/usr/lib/libx; printf B >base/usr/bin/sh; printf r >base/opt/real/r
printf v >base/var/file; printf o >base/opt/over
ln -s usr/lib base/lib; ln -s /usr/bin base/bin; ln -s real base/opt/link
ln -s ../../../../opt/real base/opt/far; ln -s loop base/opt/loop
ln -s /nowhere/at/all base/opt/gone; ln -s over base/opt/lover
cp etc/passwd etc/group base/etc/; chmod 700 base/home/u; chmod 750 base/opt/real
tar --sort=name --owner=3 --group=4 --mtime=@1 -cf ../base.tar -C base .; rm -r base
# To find what a step changed, dockerd compares size and whole seconds of modification times: each
# file gets another second.
second=1600000000
find . -type f ! -path './tar/*' | LC_ALL=C sort | while read -r file; do
  second=$((second + 10)); touch -d @$second "$file"
done
