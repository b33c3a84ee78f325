#!/bin/sh
# Makes a small Debian root with systemd, dbus, an OpenSSH server and Python, for the tests that restart real units.
# usage: tests/setup/debian-root.sh FOLDER [PACKAGES]    (as root; does nothing where FOLDER is complete already)
# PACKAGES are more of them, with commas between.
# The mirror is DONJON_DEBIAN_MIRROR, or the first one that this machine's apt uses.
set -eu
folder=${1:?usage: debian-root.sh FOLDER [PACKAGES]}
more=${2:+,$2}
release=bookworm

[ -e "$folder/.complete" ] && exit 0
mirror=${DONJON_DEBIAN_MIRROR:-$(
    { sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
      sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list; } 2>/dev/null | head -n 1)}

work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
debootstrap --variant=minbase \
    --include="systemd,systemd-sysv,dbus,openssh-server,python3,python3-pymysql,mariadb-client-core$more" \
    "$release" "$work" "$mirror"

# Nothing of the build machine, nothing that a test does not start itself, and nothing that would set up this machine's kernel.
rm -rf "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/* "$work"/etc/ssh/ssh_host_*
: > "$work/etc/machine-id"
for unit in ssh.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-remount-fs.service; do
    ln -sf /dev/null "$work/etc/systemd/system/$unit"
done
chmod 755 "$work"
touch "$work/.complete"
rm -rf "$folder"
mv "$work" "$folder"
trap - EXIT
