#!/bin/sh
# Unpacks what the program needs of Debian into a folder: `debian-root.sh ARCHITECTURE FOLDER` (Debian's name: amd64, arm64).
# Nothing of the target is executed, so that any machine makes it for any other without emulation. apt of the build image finds the packages and
# checks their signatures.
set -eu
architecture=$1
root=$2

# tini: the init; dash: ssh's and git's own scripts; coreutils: a person's `kubectl exec`, and `env`. libstdc++6: node.
packages="base-files netbase ca-certificates tini dash coreutils git openssh-client libstdc++6"
# They depend on these for maintainer scripts, manuals and perl scripts of git, none of which is here: apt takes them for installed.
absent="adduser debconf dpkg git-man init-system-helpers liberror-perl mawk openssl passwd perl"

work=$(mktemp -d)
mkdir -p "$work/lists/partial" "$work/archives/partial" "$root"
cat >"$work/apt.conf" <<END
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
END
export APT_CONFIG="$work/apt.conf"
: >"$work/status"
apt-get update -qq
# shellcheck disable=SC2086 # lists of words
apt-cache show --no-all-versions $absent | sed -n \
  -e 's/^Package: .*/&\nStatus: hold ok installed/p' -e '/^\(Version\|Architecture\|Multi-Arch\|Provides\|Maintainer\|Description\): /p' -e '/^$/p' >"$work/absent"
mv "$work/absent" "$work/status"
# shellcheck disable=SC2086
apt-get install -qq --yes --download-only $packages

# Scanners look for installed packages in this folder where there is no dpkg.
status=$root/var/lib/dpkg/status.d
mkdir -p "$status"
# base-files first: it has the links of /bin and /lib into /usr, which the others go through.
for archive in "$work"/archives/base-files_*.deb "$work"/archives/*.deb; do
  name=$(dpkg-deb --field "$archive" Package)
  dpkg-deb --extract "$archive" "$root"
  dpkg-deb --field "$archive" >"$status/$name"
  dpkg-deb --ctrl-tarfile "$archive" | tar -x --to-stdout ./md5sums >"$status/$name.md5sums" 2>/dev/null || true
done
rm -r "$work"

cd "$root"
# Licences stay.
find usr/share/doc -not -type d -not -name copyright -delete
find usr/share/doc -type d -empty -delete
rm -rf usr/share/man usr/share/info usr/share/locale usr/share/lintian usr/share/bug usr/share/menu usr/share/gitweb usr/share/perl5 \
  usr/share/bash-completion usr/share/doc-base usr/share/pixmaps usr/share/gdb usr/lib/systemd usr/lib/sysusers.d usr/lib/tmpfiles.d \
  usr/share/initramfs-tools usr/share/apport etc/init.d etc/update-motd.d etc/ufw
# For other protocols, other servers, or perl; and what is there a second time.
ln -sf ../../bin/git usr/lib/git-core/git
for name in scalar git-shell git-daemon git-imap-send git-http-push git-http-fetch git-sh-i18n--envsubst; do
  rm -f "usr/bin/$name" "usr/lib/git-core/$name"
done
rm -f usr/bin/tini-static
grep -rlE '^#!.*perl' usr/lib/git-core usr/bin usr/share/git-core | xargs -r rm

# What the maintainer script of ca-certificates makes.
mkdir -p etc/ssl/certs
find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat >etc/ssl/certs/ca-certificates.crt

# Nobody becomes somebody else, and nobody writes but in the three folders of the last lines.
rm -f usr/lib/openssh/ssh-keysign
find . -perm /6000 -exec chmod ug-s {} +
rm -rf home media mnt opt srv boot var/backups var/local var/mail var/opt var/tmp var/spool/mail var/lock run/lock
ln -sf dash usr/bin/sh
cat >etc/passwd <<'END'
root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
wharfinger:x:65532:65532:Wharfinger:/var/lib/wharfinger:/usr/sbin/nologin
END
cat >etc/group <<'END'
root:x:0:
nogroup:x:65534:
wharfinger:x:65532:
END
echo 'hosts: files dns' >etc/nsswitch.conf
install -d -m 1777 tmp
install -d -m 0700 -o 65532 -g 65532 var/lib/wharfinger
install -d -m 0700 -o 65532 -g 65532 var/spool/wharfinger
