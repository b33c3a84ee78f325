#!/bin/sh
# Installs the Debian packages that the tests use, where they are missing. Needs root.
set -eu
wanted="mariadb-server mariadb-client mariadb-backup galera-4 rabbitmq-server redis-server memcached haproxy rsync socat podman docker.io runc crun debootstrap openssh-client openssh-server python3-venv iproute2 age curl git gcc libc6-dev procps strace"
missing=""
for package in $wanted; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
# No service of the system is started: the tests start their own.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o Acquire::Retries=3 update
# shellcheck disable=SC2086
apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends $missing
