#!/bin/sh
# SPDX-License-Identifier: MIT
# complete.sh ROOT DEB: what the packages' scripts would do in the image.
set -eu
cd "$1"
dpkg-deb --fsys-tarfile "$2" | tar -x --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./lib/systemd'
cp "$(dirname "$0")/brickd.yaml" etc/brickd/brickd.yaml
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
echo 'root:x:0:0:root:/:/usr/sbin/nologin
brickd:x:65532:65532:brickd:/var/lib/brickd:/usr/sbin/nologin' >etc/passwd
echo 'root:x:0:
brickd:x:65532:' >etc/group
mkdir -p run/brickd tmp var/lib/brickd
chown 65532:65532 run/brickd var/lib/brickd
chmod 1777 tmp
# scanners read there what the image contains
for package in var/cache/apt/archives/*.deb "$2"; do
	dpkg-deb --field "$package"
	echo 'Status: install ok installed'
	echo
done >var/lib/dpkg/status
rm -f usr/bin/openssl usr/bin/c_rehash usr/sbin/update-ca-certificates
