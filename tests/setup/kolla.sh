#!/bin/sh
# Makes what a real `kolla-ansible deploy` needs where no registry has its images: a node with podman, and images of Keystone and
# of kolla's toolbox. A Debian root, kolla's own scripts from its package, and the Python packages of the test tools are in them.
# usage: tests/setup/kolla.sh FOLDER      (as root, after tools.sh; does nothing where it has been done for these packages)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$1" && pwd)
stamp="$folder/kolla/requirements.installed"
cmp -s "$folder/requirements.installed" "$stamp" && exit 0
python="$folder/venv/bin/python"
scripts="$folder/venv/share/kolla/docker"
mkdir -p "$folder/kolla"
rm -f "$stamp"

# The node. Images are made of the same root, so it also has what runs in containers.
root="$folder/kolla/root"
"$here/debian-root.sh" "$root" \
    podman,netavark,runc,conmon,python3-dbus,python3-yaml,sudo,iproute2,procps,dumb-init,cron,rsync,curl
for unit in cron.service podman-restart.service podman-auto-update.service podman-auto-update.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# What is in every image: kolla's users and scripts, an environment for the services and one for the toolbox.
work=$(mktemp -d "$folder/kolla/image.XXXXXX")
run=$(mktemp -d /run/kolla-images.XXXXXX) # podman takes no name of more than 50 characters for it
trap 'rm -rf "$work" "$run"' EXIT INT TERM
image="$work/root"
cp -a "$root" "$image"
rm "$image/.complete" "$image/etc/localtime"
"$python" - <<'EOF' > "$work/users"
from kolla.common.users import USERS
for name in ("kolla", "ansible", "keystone"):
    print(name, USERS[name + "-user"]["uid"], USERS[name + "-user"]["gid"])
EOF
while read -r name uid gid; do
    chroot "$image" groupadd --gid "$gid" "$name"
    chroot "$image" useradd -l -M --shell /bin/bash --uid "$uid" --gid "$gid" --home-dir "/var/lib/$name" "$name"
    chroot "$image" usermod --append --groups kolla "$name"
    mkdir -p "$image/var/lib/$name"
    chown "$uid:$gid" "$image/var/lib/$name"
done < "$work/users"
install -d -g "$(sed -n 's/^kolla [0-9]* //p' "$work/users")" -m 2775 "$image/var/log/kolla"
install -d "$image/etc/keystone" "$image/etc/ansible" "$image/run/sshd"

bin="$image/usr/local/bin"
for name in set_configs.py:kolla_set_configs start.sh:kolla_start copy_cacerts.sh:kolla_copy_cacerts \
    install_projects.sh:kolla_install_projects; do
    install -m 755 "$scripts/base/${name%%:*}" "$bin/${name#*:}"
done
install -m 755 "$scripts/base"/healthcheck_* "$bin/"
install -m 440 "$scripts/base/sudoers" "$image/etc/sudoers"

packages() {
    venv=$1
    shift
    chroot "$image" python3 -m venv --without-pip --system-site-packages "$venv"
    version=$(basename "$image$venv"/lib/python3.*)
    ln -s "$version" "$image$venv/lib/python3"
    "$python" "$here/transplant.py" "$image$venv/lib/$version/site-packages" "$image$venv/bin" "$venv/bin/python3" -- "$@"
}
packages /var/lib/kolla/venv keystone pymysql castellan pyuwsgi
packages /opt/ansible ansible-core ansible-runner openstacksdk pymysql
# The collection asks for a name that the SDK of kolla's images has at once, and this newer one only when it is imported.
echo 'import openstack.version' >> "$image/opt/ansible/lib/python3/site-packages/openstack/__init__.py"
for collection in openstack/cloud community/mysql; do
    mkdir -p "$image/usr/share/ansible/collections/ansible_collections/${collection%/*}"
    cp -r "$(dirname "$("$python" -c 'import ansible_collections; print(list(ansible_collections.__path__)[0])')")/ansible_collections/$collection" \
        "$image/usr/share/ansible/collections/ansible_collections/${collection%/*}/"
done
install -m 644 "$scripts/kolla-toolbox/ansible.cfg" "$image/etc/ansible/"
# Compiled once: services run as users who cannot keep what they compile. Some files are there for other versions of Python.
chroot "$image" /var/lib/kolla/venv/bin/python3 -m compileall -q -q -j 0 /var/lib/kolla/venv/lib /opt/ansible/lib || true

# The images, in a store that nodes have beside their own, read-only.
podman() {
    command podman --root "$folder/kolla/images" --runroot "$run" --storage-driver overlay --runtime runc --cgroup-manager cgroupfs "$@"
}
rm -rf "$folder/kolla/images"
tar -C "$image" -c . | podman import -q \
    --change 'ENTRYPOINT ["dumb-init", "--single-child", "--"]' --change 'CMD ["kolla_start"]' \
    --change 'ENV LANG=C.UTF-8' --change 'ENV KOLLA_BASE_DISTRO=debian' \
    --change 'ENV PATH=/var/lib/kolla/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    - localhost/kolla/base:test > /dev/null
image() {
    name=$1
    shift
    rm -rf "$work/context"
    mkdir -p "$work/context/bin"
    while [ "$1" != -- ]; do
        install -m 755 "$scripts/${1%%:*}" "$work/context/bin/${1#*:}"
        shift
    done
    shift
    { echo 'FROM localhost/kolla/base:test'; echo 'COPY bin /usr/local/bin'; printf '%s\n' "$@"; } > "$work/context/Containerfile"
    podman build -q --format docker -t "localhost/kolla/$name:test" "$work/context" > /dev/null
}
extended() {
    image "$1" "keystone/$1/extend_start.sh:kolla_extend_start" "keystone/${2:-$1}/keystone_bootstrap.sh:kolla_keystone_bootstrap" --
}
extended keystone
extended keystone-fernet
extended keystone-ssh keystone
image kolla-toolbox kolla-toolbox/extend_start.sh:kolla_extend_start kolla-toolbox/kolla_toolbox.sh:kolla_toolbox -- \
    'ENV PATH=/opt/ansible/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' 'USER ansible'

# What kolla's modules import on a node, for its own Python.
"$python" "$here/transplant.py" "$root/usr/local/lib/$version/dist-packages" -- podman
cp "$folder/requirements.installed" "$stamp"
